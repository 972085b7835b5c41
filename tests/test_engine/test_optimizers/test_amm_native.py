"""Which tensors the compiled CPU kernel takes."""

import pytest
import torch

from slnp_mm.engine.optimizers.amm_native import kernel_takes


@pytest.mark.parametrize('place', range(1, 5))
@pytest.mark.parametrize('other', [torch.zeros(3), torch.zeros(4, dtype=torch.float64)])
def test_kernel_refuses_a_tensor_of_other_shape_or_dtype(place, other):
    """It counts the parameter's numbers and would read past the end."""
    tensors = [torch.zeros(4) for _ in range(5)]
    assert kernel_takes(tensors)
    tensors[place] = other
    assert not kernel_takes(tensors)
