"""Mixed precision in bfloat16."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmagic.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from torch import nn


@OPTIM_WRAPPERS.register_module()
class SLNPBF16OptimWrapper(OptimWrapper):
    """Forward passes in bfloat16, on CPU and CUDA.

    mmengine's ``AmpOptimWrapper`` does not support CPUs and scales the loss, which bfloat16, with
    the range of float32, does not need; without the scaler there is no synchronization.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast on the model's device; parameters and losses stay in float32."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
