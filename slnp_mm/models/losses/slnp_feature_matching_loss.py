"""The feature matching loss."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from ..layers.precision import as_float


@MODELS.register_module()
class SLNPFeatureMatchingLoss(nn.Module):
    r"""L1 distance of discriminator features of real and generated images.

    .. math::
        L_{FM} = \lambda\, E \sum_{i=1}^T \frac{1}{N_i}
            \| D^{(i)}(L, x) - D^{(i)}(L, G(L)) \|_1

    Source:
        paper: SLNP-GAN, Eq. (19); the weight is that of Eq. (20).
        ours: no gradient reaches the real branch.

    Args:
        loss_weight (float): ``lambda``, no unit, >= 0. Defaults to 10.0.
        class_balance (float): A pixel of class c weighs :math:`n_c^{-b}`, with :math:`n_c` the
            number of its pixels in the batch, the mean weight being 1: 0 is Eq. (19), with 1
            every class weighs alike. In [0, 1]. Defaults to 0.

    Raises:
        ValueError: If ``loss_weight`` or ``class_balance`` is out of range.
    """

    def __init__(self, loss_weight: float = 10.0, class_balance: float = 0.0) -> None:
        super().__init__()
        if loss_weight < 0:
            raise ValueError(f'loss_weight must be >= 0, but got {loss_weight}.')
        if not 0 <= class_balance <= 1:
            raise ValueError(f'class_balance must be in [0, 1], but got {class_balance}.')
        self.loss_weight = loss_weight
        self.class_balance = class_balance

    def forward(
        self,
        fake: Sequence[Tensor],
        real: Sequence[Tensor],
        label: Tensor | None = None,
        count: int | None = None,
    ) -> Tensor:
        """Compute the loss.

        Args:
            fake (Sequence[Tensor]): Features of generated images, one a layer, (B, D, h, w).
            real (Sequence[Tensor]): Features of real images, same shapes.
            label (Tensor, optional): (B, H, W), int64; needed for ``class_balance``.
            count (int, optional): Compare the first images only. Defaults to None, all.

        Returns:
            Tensor: Scalar, shape (), >= 0, no unit.

        Raises:
            ValueError: If the numbers of layers differ.
        """
        if len(fake) != len(real):
            raise ValueError(
                f'Expected as many real as generated layers, but got {len(real)} and {len(fake)}.'
            )
        distances = [(as_float(f) - as_float(r.detach())).abs() for f, r in zip(fake, real)]
        if self.class_balance:
            weights = class_weights(label[:count], self.class_balance)[:, None]
            distances = [
                d[:count] * F.adaptive_avg_pool2d(weights, d.shape[-2:]) for d in distances
            ]
        # neither d[:count] nor a mean: their gradients would not be channels-last as features are
        sums = [d.sum((1, 2, 3))[:count] / d[0].numel() for d in distances]
        return self.loss_weight * sum(x.mean() for x in sums)


def class_weights(label: Tensor, balance: float) -> Tensor:
    """Weigh pixels by the rarity of their class.

    Args:
        label (Tensor): (B, H, W), int64, 0..255.
        balance (float): Exponent, in [0, 1].

    Returns:
        Tensor: (B, H, W), float32, > 0, mean 1.
    """
    # not bincount, which asks the device for the largest label
    flat = label.flatten()
    ones = torch.ones_like(flat, dtype=torch.float32)
    counts = ones.new_zeros(256).scatter_add_(0, flat, ones)
    weights = counts.clamp(min=1).pow(-balance)[label]
    return weights / weights.mean()
