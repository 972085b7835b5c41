"""The loss that keeps the generator from ignoring its noise."""

import math

from mmagic.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class SLNPModeSeekingLoss(nn.Module):
    r"""Reward two images of one label for differing as their noises do.

    .. math::
        L_{MS} = -w\, E \min\Big(
            \frac{\overline{|G(L, z_1) - G(L, z_2)|}}
                 {\overline{|z_1 - z_2|}}, \tau\Big)

    with bars for the mean over all entries of an image or a noise. Feature
    matching, Eq. (19), compares each image with the one real image of its
    label, and so teaches the generator to answer every noise alike.

    Source:
        paper: nothing; an addition to Eq. (20), off by default.
        reference: the ratio and its bound, Yang et al., arXiv:1901.09024,
            Eq. (2) and (3); the inverse of the ratio, Mao et al.,
            arXiv:1903.05628.
        ours: the second noise is drawn for a share of the batch only.

    Args:
        loss_weight (float): ``w``, no unit, >= 0. Defaults to 10.0.
        max_ratio (float): ``tau``, image units ([-1, 1]) per unit of noise,
            > 0. A pair that differs more earns nothing further. Defaults
            to 0.25.
        share (float): Share of the batch, rounded up, that is generated
            again, in (0, 1]. Defaults to 0.25.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        loss_weight: float = 10.0,
        max_ratio: float = 0.25,
        share: float = 0.25,
    ) -> None:
        super().__init__()
        if not loss_weight >= 0:
            raise ValueError(f'loss_weight must be >= 0, but got {loss_weight}.')
        if not max_ratio > 0:
            raise ValueError(f'max_ratio must be > 0, but got {max_ratio}.')
        if not 0 < share <= 1:
            raise ValueError(f'share must be in (0, 1], but got {share}.')
        self.loss_weight = loss_weight
        self.max_ratio = max_ratio
        self.share = share

    def num_pairs(self, batch_size: int) -> int:
        """Number of images to generate again.

        Args:
            batch_size (int): ``B``, >= 1.

        Returns:
            int: 1..B.
        """
        return math.ceil(self.share * batch_size)

    def forward(self, first: Tensor, second: Tensor, noise: Tensor, other: Tensor) -> Tensor:
        """Compute the loss of one stage.

        Args:
            first (Tensor): Images, (n, 3, H, W), float, [-1, 1].
            second (Tensor): Images of the same labels under ``other``.
            noise (Tensor): Noise of ``first``, (n, D, h, w), float.
            other (Tensor): Noise of ``second``, same shape.

        Returns:
            Tensor: Scalar, shape (), in [-w tau, 0], no unit.
        """
        moved = (first - second).abs().flatten(1).mean(1)
        asked = (noise - other).abs().flatten(1).mean(1)
        ratio = moved / asked.clamp(min=1e-6)
        return -self.loss_weight * ratio.clamp(max=self.max_ratio).mean()
