"""The feature matching loss."""

from collections.abc import Sequence

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

    Raises:
        ValueError: If ``loss_weight`` is negative.
    """

    def __init__(self, loss_weight: float = 10.0) -> None:
        super().__init__()
        if loss_weight < 0:
            raise ValueError(f'loss_weight must be >= 0, but got {loss_weight}.')
        self.loss_weight = loss_weight

    def forward(
        self, fake: Sequence[Tensor], real: Sequence[Tensor], count: int | None = None
    ) -> Tensor:
        """Compute the loss.

        Args:
            fake (Sequence[Tensor]): Features of generated images, one a layer, (B, D, h, w).
            real (Sequence[Tensor]): Features of real images, same shapes.
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
        # neither d[:count] nor a mean: their gradients would not be channels-last as features are
        sums = [d.sum((1, 2, 3))[:count] / d[0].numel() for d in distances]
        return self.loss_weight * sum(x.mean() for x in sums)
