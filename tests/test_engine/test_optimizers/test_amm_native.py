"""Which tensors the compiled CPU kernel takes."""

import pytest
import torch

from slnp_mm.engine.optimizers import AMM
from slnp_mm.engine.optimizers.amm_native import find_compiler, kernel_takes


@pytest.mark.parametrize('place', range(1, 5))
@pytest.mark.parametrize(
    'other', [torch.zeros(3), torch.zeros(4, dtype=torch.float64)]
)
def test_kernel_refuses_a_tensor_of_other_shape_or_dtype(place, other):
    """It counts the parameter's numbers and would read past the end."""
    tensors = [torch.zeros(4) for _ in range(5)]
    assert kernel_takes(tensors)
    tensors[place] = other
    assert not kernel_takes(tensors)


@pytest.mark.skipif(find_compiler() is None, reason='needs a C compiler')
def test_fused_step_on_a_state_of_another_shape_raises():
    param = torch.nn.Parameter(torch.ones(4))
    optimizer = AMM([param], fused=True)
    param.grad = torch.ones(4)
    optimizer.step()
    optimizer.state[param]['exp_avg'] = torch.zeros(2)
    with pytest.raises(RuntimeError, match='size'):
        optimizer.step()
