"""The averaged generator."""

import torch
from mmagic.models.base_models import RampUpEMA
from mmagic.registry import MODELS
from torch import nn


@MODELS.register_module()
class SLNPRampUpEMA(RampUpEMA):
    """mmagic's RampUpEMA with one foreach update.

    mmagic keeps the step on the device and synchronizes once per parameter to compute the momentum;
    here the step stays on the CPU. Checkpoints are the same.
    """

    def _apply(self, fn, *args, **kwargs) -> 'SLNPRampUpEMA':
        """Move the averages, but not the step."""
        steps = self.steps
        super()._apply(fn, *args, **kwargs)
        self.steps = steps
        return self

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Average the parameters of ``model`` and copy its buffers."""
        steps = int(self.steps)
        if steps == 0:
            self.sync_parameters(model)
        elif steps % self.interval == 0:
            beta = self.rampup(steps, self.ema_kimg, self.ema_rampup, self.batch_size, self.eps)
            averages, sources = list(self.module.parameters()), list(model.parameters())
            torch._foreach_lerp_(averages, sources, 1 - beta)
        self.sync_buffers(model)
        self.steps += 1
