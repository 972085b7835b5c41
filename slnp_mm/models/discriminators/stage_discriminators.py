"""The discriminators of all stages as one network."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from .slnp_discriminator import DiscriminatorOutput
from .slnp_pretrained_discriminator import SLNPPretrainedDiscriminator


class StageDiscriminators(BaseModule):
    """One discriminator per stage, coarsest first, called as one network."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Cache frozen features for one training step.

        For each range of ``upsample_factor``, one factor is drawn per step, shared by all stages
        with that range and by real and generated images.
        """
        drawn: dict[tuple[float, float], float] = {}
        frozen = [s for s in self.stages if isinstance(s, SLNPPretrainedDiscriminator)]
        for stage in frozen:
            bounds = stage.upsample_range
            if bounds not in drawn and bounds[0] < bounds[1]:
                drawn[bounds] = float(torch.empty(()).uniform_(*bounds))
            stage.start_step(drawn.get(bounds))
        try:
            yield
        finally:
            for stage in frozen:
                stage.end_step()

    def frozen_sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Sizes of the images in the frozen networks, for images of the last stage (H, W)."""
        found, last = [], len(self.stages) - 1
        for index, stage in enumerate(self.stages):
            if isinstance(stage, SLNPPretrainedDiscriminator):
                found.append(stage.frozen_size([side >> (last - index) for side in size]))
        return found

    @torch.no_grad()
    def features(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> list[list[Tensor]]:
        """Features of every stage's real image for Eq. (19), without gradients."""
        return [s.features(image, label) for s, image, label in zip(self.stages, images, labels)]

    def forward(
        self, batches: Sequence[Sequence[Tensor]], labels: Sequence[Tensor], detach: bool = False
    ) -> list[list[DiscriminatorOutput]]:
        """Compute logits and features of batches of images of the same label maps.

        Args:
            batches (Sequence[Sequence[Tensor]]): For each batch one per stage, (B, 3, H, W).
            labels (Sequence[Tensor]): One per stage, (B, H, W), int64.
            detach (bool): Whether to stop the gradient to the images. Defaults to False.

        Returns:
            list[list[DiscriminatorOutput]]: For each batch one per stage.
        """
        stages = zip(self.stages, zip(*batches), labels)
        judged = [stage(images, label, detach) for stage, images, label in stages]
        return [list(outputs) for outputs in zip(*judged)]
