"""Arithmetic on id maps against explicit masks, in float64."""

import pytest
import torch

from slnp_mm.models.layers import (
    gather_vectors,
    label_map,
    pool_mean,
    pool_noise,
    region_counts,
    stride_ids,
    table_rows,
    vector_table,
)


def gather(vectors, ids):
    return gather_vectors(vector_table(vectors), table_rows(ids, vectors.shape[1]))


@pytest.fixture(scope='module', params=[1, 2])
def scene(request, tools):
    ids, labels, _ = tools.make_instances(16, overlap=request.param)
    return ids, labels, tools.naive_masks(ids, tools.SLOTS)


def test_scene_has_every_kind_of_instance(tools):
    ids, labels, _ = tools.make_instances(16)
    masks = tools.naive_masks(ids, tools.SLOTS)
    areas = masks.sum((2, 3))
    assert areas[0, 0] == 256  # the full image
    assert masks[0].sum(0).max() == 2  # overlap
    assert areas[0, 2] == 0 and labels[0, 2] == 4  # empty
    assert labels[0, 4] == -1  # padded
    assert areas[0, 5] == 1  # one pixel
    assert (masks[1].sum(0) == 0).any()  # uncovered pixels


def test_stride_ids_takes_every_nth_pixel():
    ids = torch.arange(36).view(1, 1, 6, 6)
    assert stride_ids(ids, 2)[0, 0].tolist() == [[0, 2, 4], [12, 14, 16], [24, 26, 28]]
    assert stride_ids(ids, 1).equal(ids)


@pytest.mark.parametrize('grid', [(4, 4), (2, 8), (1, 1), (16, 16)])
def test_region_counts_match_masks(scene, grid, tools):
    ids, _, masks = scene
    counts = region_counts(ids, grid, tools.SLOTS)
    assert counts.double().equal(tools.naive_counts(masks, *grid))


def test_gathered_vectors_match_masks(scene, tools):
    ids, _, masks = scene
    vectors = torch.randn(2, tools.SLOTS, 3, dtype=torch.float64)
    assert gather(vectors, ids).equal(tools.naive_place(vectors, masks))


def test_maximum_of_negative_vectors_is_negative():
    vectors = torch.tensor([[[-1.0, -4.0], [-2.0, -3.0]]])
    ids = torch.tensor([0, 0, -1, -1, -1, 1, 1, -1]).view(1, 2, 1, 4)
    placed = gather(vectors, ids)
    assert placed[0, :, 0].T.tolist() == [[-1, -4], [-1, -3], [-2, -3], [0, 0]]


def test_gradient_of_gathered_vectors_matches_masks(scene, tools):
    ids, _, masks = scene
    vectors = torch.randn(2, tools.SLOTS, 3, dtype=torch.float64)
    weight = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    grads = []
    for write in (lambda v: gather(v, ids), lambda v: tools.naive_place(v, masks)):
        leaf = vectors.clone().requires_grad_()
        (write(leaf) * weight).sum().backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-12)


def test_order_of_layers_does_not_matter(tools):
    ids, _, _ = tools.make_instances(16)
    vectors = torch.randn(2, tools.SLOTS, 3)
    assert gather(vectors, ids).equal(gather(vectors, ids.flip(1)))


def test_pool_mean_matches_loop(tools):
    features = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    weights = torch.randint(0, 5, (2, 4, 4)).double()
    weights[0, 1] = 0
    pooled = pool_mean(features, weights)
    for b in range(2):
        for i in range(4):
            want = sum(weights[b, i, j] * features[b].flatten(1)[:, j] for j in range(4)) / max(
                weights[b, i].sum(), 1
            )
            torch.testing.assert_close(pooled[b, i], want)
    assert pooled[0, 1].eq(0).all()


def test_pool_noise_matches_loop():
    noise = torch.randn(1, 3, 2, 2, dtype=torch.float64)
    weights = torch.tensor([[[1.0, 2, 0, 2], [0, 0, 0, 0]]]).double()
    pooled = pool_noise(noise, weights)
    flat = noise[0].flatten(1)
    want = (flat[:, 0] + 2 * flat[:, 1] + 2 * flat[:, 3]) / 3
    torch.testing.assert_close(pooled[0, 0], want)
    assert pooled[0, 1].eq(0).all()


@pytest.mark.parametrize('cells', [1, 16, 64])
def test_pool_noise_keeps_unit_variance_for_any_size(cells):
    noise = torch.randn(4, 2000, 8, 8)
    weights = torch.zeros(4, 1, 64)
    weights[..., :cells] = 3.0
    # 8000 samples: five standard errors of a variance
    assert pool_noise(noise, weights).var().item() == pytest.approx(1, abs=0.06)


def test_rows_are_those_of_the_table_and_fill_uncovered_layers():
    ids = torch.tensor([[[[0, -1, -1]], [[2, 1, -1]]]]).expand(2, -1, -1, -1)
    vectors = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]])
    assert vector_table(vectors).flatten().tolist() == [0, 1, 2, 3, 0, 4, 5, 6]
    rows = table_rows(ids, 3)
    assert rows[:, :, 0].tolist() == [[[1, 2, 0], [3, 2, 0]], [[5, 6, 4], [7, 6, 4]]]


@pytest.mark.parametrize('grid', [(16, 16), (4, 4)])
def test_label_map_matches_masks(scene, grid, tools):
    ids, labels, masks = scene
    classes = torch.where(labels < 0, tools.CLASSES, labels)
    found = label_map(region_counts(ids, grid, tools.SLOTS), classes, tools.CLASSES)
    assert found.unflatten(2, grid).double().equal(tools.naive_label_map(masks, labels, grid))
