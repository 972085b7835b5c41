"""The feature matching loss."""

from collections.abc import Sequence

from torch import Tensor

from ...errors import SLNPError
from ..layers.precision import as_float


def feature_matching_loss(
    fake: Sequence[Tensor], real: Sequence[Tensor], num_coded: int | None = None
) -> Tensor:
    r"""L1 distance between discriminator features of real and generated images.

    .. math::
        L_{FM} = E \sum_{i=1}^T \frac{1}{N_i} \| D^{(i)}(L, x) - D^{(i)}(L, G(L)) \|_1

    Source:
        paper: SLNP-GAN, Eq. (19).
        ours: no gradient reaches the features of real images.

    Args:
        fake (Sequence[Tensor]): Features of generated images, one a layer, (B, D, h, w).
        real (Sequence[Tensor]): Features of real images, same shapes.
        num_coded (int, optional): Only the first images, whose noise is their own code, are
            compared. Defaults to None, all are.

    Returns:
        Tensor: Scalar, shape (), >= 0, no unit.

    Raises:
        SLNPError: If the numbers of layers differ.
    """
    if len(fake) != len(real):
        raise SLNPError(
            f'Expected as many real as generated layers, but got {len(real)} and {len(fake)}.'
        )
    distances = [(as_float(f) - as_float(r.detach())).abs() for f, r in zip(fake, real)]
    # neither d[:num_coded] nor a mean: their gradients would not be channels-last as features
    sums = [d.sum((1, 2, 3))[:num_coded] / d[0].numel() for d in distances]  # 1 / N_i
    return sum(x.mean() for x in sums)
