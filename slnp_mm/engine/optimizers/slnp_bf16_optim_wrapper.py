"""Mixed precision in bfloat16."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmagic.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from torch import nn


@OPTIM_WRAPPERS.register_module()
class SLNPBF16OptimWrapper(OptimWrapper):
    """Forward passes in bfloat16, on CUDA and on CPUs that have it.

    A CPU without ``avx512_bf16`` emulates bfloat16, many times slower than float32, so it trains in
    float32, and a warning says so. mmengine's ``AmpOptimWrapper`` does not support CPUs and scales
    the loss, which bfloat16, with the range of float32, does not need; without the scaler there is
    no synchronization.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast on the model's device; parameters and losses stay in float32."""
        device = next(model.parameters()).device.type
        slow = device == 'cpu' and not torch.cpu._is_avx512_bf16_supported()
        if slow:
            told = 'this CPU has no bfloat16: float32 is used, which is faster here'
            warnings.warn(told, stacklevel=2)
        with super().optim_context(model), torch.autocast(device, torch.bfloat16, enabled=not slow):
            yield
