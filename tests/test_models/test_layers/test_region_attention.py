"""Equations (10)-(14) and V_context^i against loops in float64."""

import math

import pytest
import torch

from slnp_mm.models.layers import attend, attention_weights, instance_context, place

DEPTH = 3


@pytest.fixture
def vectors(tools):
    """V_region, v' and valid; the second image has one instance."""
    regions = torch.randn(2, 4, DEPTH, dtype=torch.float64)
    instances = torch.randn(2, tools.SLOTS, DEPTH, dtype=torch.float64)
    valid = torch.ones(2, tools.SLOTS, dtype=torch.bool)
    valid[0, 4] = False
    valid[1, 1:] = False
    return regions, instances, valid


def naive_weights(regions, instances, valid):
    """Eq. (10), (11), (14): exp of dot products over their sum."""
    batch, num, _ = regions.shape
    slots = instances.shape[1]
    out = torch.zeros(batch, num, slots, dtype=torch.float64)
    for b in range(batch):
        for j in range(num):
            powers = {
                i: math.exp(sum(float(instances[b, i, d] * regions[b, j, d]) for d in range(DEPTH)))
                for i in range(slots)
                if valid[b, i]
            }
            for i, power in powers.items():
                out[b, j, i] = power / sum(powers.values())
    return out


def naive_context(weights, instances):
    """Eq. (12), (13): the weighted sum of v'."""
    out = torch.zeros(*weights.shape[:2], DEPTH, dtype=torch.float64)
    for b in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            for i in range(weights.shape[2]):
                out[b, j] += weights[b, j, i] * instances[b, i]
    return out


def naive_instance_context(context, cover):
    out = torch.zeros(*cover.shape[:2], DEPTH, dtype=torch.float64)
    for b in range(cover.shape[0]):
        for i in range(cover.shape[1]):
            found = [context[b, j] for j in range(cover.shape[2]) if cover[b, i, j]]
            if found:
                out[b, i] = sum(found) / len(found)
    return out


def test_weights_match_loop(vectors):
    torch.testing.assert_close(attention_weights(*vectors), naive_weights(*vectors))


def test_weights_are_one_for_a_lone_instance(vectors):
    weights = attention_weights(*vectors)[1]
    assert weights[:, 0].eq(1).all() and weights[:, 1:].eq(0).all()


def test_context_matches_loop(vectors):
    _, instances, _ = vectors
    want = naive_context(naive_weights(*vectors), instances)
    torch.testing.assert_close(attend(*vectors), want)


def test_context_equals_returned_weights(vectors):
    regions, instances, valid = (v.float() if v.is_floating_point() else v for v in vectors)
    want = attention_weights(regions, instances, valid) @ instances
    torch.testing.assert_close(attend(regions, instances, valid), want)


def test_image_without_instances_gives_zero_and_finite_gradient(vectors):
    regions, instances, valid = vectors
    valid[0] = False
    regions.requires_grad_()
    instances.requires_grad_()
    context = attend(regions, instances, valid)
    assert context[0].eq(0).all() and context[1].ne(0).any()
    assert attention_weights(regions, instances, valid)[0].eq(0).all()
    context.sum().backward()
    assert regions.grad.isfinite().all()
    assert instances.grad[0].eq(0).all()


def test_instance_context_matches_loop(vectors, tools):
    context = attend(*vectors)
    cover = torch.rand(2, tools.SLOTS, 4) > 0.5
    cover[0, 0] = True  # the full image
    cover[0, 2] = False  # empty
    torch.testing.assert_close(
        instance_context(context, cover), naive_instance_context(context, cover)
    )


def test_detail_map_from_regions_to_pixels_matches_loop(vectors, tools):
    """(10)-(15) in one: regions of 2 x 2, instances of 8 x 8 pixels."""
    regions, instances, _ = vectors
    ids, labels, _ = tools.make_instances(8)
    valid = labels >= 0
    masks = tools.naive_masks(ids, tools.SLOTS)
    cover = torch.stack(
        [
            masks[:, :, row : row + 4, col : col + 4].any(-1).any(-1)
            for row in (0, 4)
            for col in (0, 4)
        ],
        -1,
    )
    found = place(instance_context(attend(regions, instances, valid), cover), ids)

    context = naive_instance_context(
        naive_context(naive_weights(regions, instances, valid), instances), cover
    )
    want = torch.zeros(2, DEPTH, 8, 8, dtype=torch.float64)
    for b in range(2):
        for row in range(8):
            for col in range(8):
                here = masks[b, :, row, col]
                if here.any():
                    want[b, :, row, col] = context[b, here].amax(0)
    torch.testing.assert_close(found, want)
