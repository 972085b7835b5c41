"""A training step as a GPU sees it: nothing waits for the device.

On meta tensors, which have no values, whatever needs one on the host raises: ``item()``, a branch
on a tensor, a mask as an index.
"""

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from slnp_mm.engine.hooks.slnp_watch_hook import StepGuard
from slnp_mm.engine.optimizers import AMM


class Copies(TorchDispatchMode):
    """Record copies between devices that wait for their end."""

    def __init__(self):
        super().__init__()
        self.waiting, self.free = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func._schema.name in ('aten::_to_copy', 'aten::copy_'):
            given = [x.device for x in tree_leaves((args, out)) if isinstance(x, Tensor)]
            if len(set(given)) > 1:
                no_wait = kwargs.get('non_blocking') or args[2:] == (True,)
                self.free += no_wait
                if not no_wait:
                    self.waiting.append((func, args))
        return out


@pytest.fixture
def model(tools):
    """Tiny model with all that the plus configs have."""
    return tools.plus_model()


def test_step_never_waits_for_the_device(model, tools):
    model.to('meta')
    wrappers = OptimWrapperDict(
        **{
            name: OptimWrapper(AMM(getattr(model, name).parameters(), capturable=True))
            for name in ('generator', 'discriminator')
        }
    )
    guards = [StepGuard(wrapper) for wrapper in wrappers.values()]
    data = tools.make_data(size=64)
    with Copies() as copies:
        for _ in range(2):
            log_vars = model.train_step(data, wrappers)
    assert all(value.is_meta for value in log_vars.values())
    assert all(guard.skipped.is_meta for guard in guards)
    assert not copies.waiting
    assert copies.free == 2 * 2 * 4  # of two images: picture, label, ids and their classes


def test_meta_tensors_tell_when_a_step_waits(model, tools):
    """So that the test above can fail: noise that depends on a value on the device."""
    model.to('meta').noise_fn = lambda num_batches: torch.zeros(int(model.noise_prior.code_mean[0]))
    with pytest.raises(RuntimeError, match='meta'):
        model.train_step(tools.make_data(size=64), tools.make_wrappers(model))
