"""The averaged generator."""

import torch
from mmagic.models.base_models import RampUpEMA
from mmagic.registry import MODELS
from torch import nn


@MODELS.register_module()
class SLNPRampUpEMA(RampUpEMA):
    """mmagic's RampUpEMA, all parameters at once.

    mmagic keeps the step on the device and computes the momentum from it for every parameter anew,
    waiting for the device each time; here the step stays on the CPU. Checkpoints are the same.
    """

    def _apply(self, fn, *args, **kwargs) -> 'SLNPRampUpEMA':
        """Move the averages, but not the step."""
        steps = self.steps
        super()._apply(fn, *args, **kwargs)
        self.steps = steps
        return self

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Average the parameters and copy the buffers.

        Args:
            model (nn.Module): The model whose parameters are averaged.
        """
        steps = int(self.steps)
        if steps == 0:
            self.sync_parameters(model)
        elif steps % self.interval == 0:
            beta = self.rampup(steps, self.ema_kimg, self.ema_rampup, self.batch_size, self.eps)
            averages, sources = list(self.module.parameters()), list(model.parameters())
            torch._foreach_lerp_(averages, sources, 1 - beta)
        self.sync_buffers(model)
        self.steps += 1
