"""Equations (10)-(14) and V_context^i as printed, in float64."""

import pytest
import torch

from slnp_mm.models.layers import (
    attend,
    attention_weights,
    gather_vectors,
    instance_context,
    table_rows,
    vector_table,
)

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


def test_weights_match_the_equations(vectors, tools):
    torch.testing.assert_close(attention_weights(*vectors), tools.naive_weights(*vectors))


def test_weights_are_one_for_a_lone_instance(vectors):
    weights = attention_weights(*vectors)[1]
    assert weights[:, 0].eq(1).all() and weights[:, 1:].eq(0).all()


def test_context_matches_the_equations(vectors, tools):
    want = tools.naive_weights(*vectors) @ vectors[1]
    torch.testing.assert_close(attend(attention_weights(*vectors), vectors[1]), want)


def test_bfloat16_rounds_the_context_once(vectors):
    """Scores, weights and their product are float32."""
    low = [v.bfloat16() if v.is_floating_point() else v for v in vectors]
    want = attention_weights(*(v.double() if v.is_floating_point() else v for v in low))
    with torch.autocast('cpu', torch.bfloat16):
        weights = attention_weights(*low)
        context = attend(weights, low[1])
    torch.testing.assert_close(weights, want.float())
    assert context.equal((want.float() @ low[1].float()).bfloat16())


def test_image_without_instances_gives_zero_and_finite_gradient(vectors):
    regions, instances, valid = vectors
    valid[0] = False
    regions.requires_grad_()
    instances.requires_grad_()
    weights = attention_weights(regions, instances, valid)
    context = attend(weights, instances)
    assert context[0].eq(0).all() and context[1].ne(0).any()
    assert weights[0].eq(0).all()
    context.sum().backward()
    assert regions.grad.isfinite().all()
    assert instances.grad[0].eq(0).all()


def test_instance_context_is_the_mean_of_covered_regions(vectors, tools):
    context = attend(attention_weights(*vectors), vectors[1])
    cover = torch.rand(2, tools.SLOTS, 4) > 0.5
    cover[0, 0] = True  # the full image
    cover[0, 2] = False  # empty
    want = tools.naive_instance_context(context, cover)
    torch.testing.assert_close(instance_context(context, cover), want)


def test_detail_map_from_regions_to_pixels_matches_the_equations(vectors, tools):
    """(10)-(15) in one: regions of 2 x 2, instances of 8 x 8 pixels."""
    regions, instances, _ = vectors
    ids, labels, _ = tools.make_instances(8)
    valid = labels >= 0
    masks = tools.naive_masks(ids, tools.SLOTS)
    cover = tools.naive_counts(masks, 2, 2) > 0
    context = attend(attention_weights(regions, instances, valid), instances)
    table = vector_table(instance_context(context, cover))
    found = gather_vectors(table, table_rows(ids, tools.SLOTS))

    context = tools.naive_weights(regions, instances, valid) @ instances
    want = tools.naive_place(tools.naive_instance_context(context, cover), masks)
    torch.testing.assert_close(found, want)
