"""What mixed precision rounds, and what it does not."""

import pytest
import torch

from slnp_mm.models.layers import LabelEmbedding, gather_vectors, group_norm, pool_mean
from slnp_mm.models.layers.precision import lookup


def bf16():
    return torch.autocast('cpu', torch.bfloat16)


@pytest.mark.parametrize('kind', [torch.bfloat16, torch.float32, torch.float64])
def test_gradients_of_many_lookups_are_summed_exactly(kind):
    """4096 ones; added one by one in bfloat16 they stop at 256."""
    rows = torch.zeros(2, 3, dtype=kind, requires_grad=True)
    found = lookup(rows, torch.zeros(4096, dtype=torch.int64))
    assert found.shape == (4096, 3) and found.dtype == kind
    found.sum().backward()
    assert rows.grad.tolist() == [[4096] * 3, [0] * 3] and rows.grad.dtype == kind


def test_maps_have_the_type_of_the_region():
    embedding = LabelEmbedding(3, 4)
    label = torch.zeros(1, 2, 2, dtype=torch.int64)
    assert embedding(label).dtype == torch.float32
    with bf16():
        assert embedding(label).dtype == torch.bfloat16
        table = torch.nn.Linear(2, 3)(torch.ones(3, 2))
        assert gather_vectors(table, label[None]).dtype == torch.bfloat16


@pytest.mark.parametrize('affine', [False, True])
def test_norm_takes_its_sums_in_float32(affine):
    norm = group_norm(16, affine)
    x = (torch.randn(2, 16, 32, 32) + 3).bfloat16()
    want = norm(x.float())
    with bf16():
        found = norm(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), want, rtol=2**-8, atol=2**-8)


def test_mean_over_a_large_instance_stays_exact():
    """65536 pixels of 3.0: their sum is beyond float16."""
    features = torch.full((1, 2, 64, 64), 3.0, dtype=torch.float16)
    weights = torch.full((1, 1, 4096), 16.0)
    with bf16():
        assert pool_mean(features, weights).tolist() == [[[3, 3]]]
