"""The feature matching loss."""

from collections.abc import Sequence

import torch
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
        ours: the features of real images are detached.

    Args:
        fake (Sequence[Tensor]): Features of generated images, one tensor per layer, (B, D, h, w).
        real (Sequence[Tensor]): Features of real images, same shapes.
        num_coded (int, optional): Compare only the first ``num_coded`` images, whose noise is
            their own code. Defaults to None, all of them.

    Returns:
        Tensor: Scalar, shape (), >= 0, no unit.

    Raises:
        SLNPError: If the numbers of layers differ.
    """
    if len(fake) != len(real):
        raise SLNPError(
            f'Expected as many layers of real as of generated features, but got {len(real)} and '
            f'{len(fake)}.'
        )
    distances = [(as_float(f) - as_float(r.detach())).abs() for f, r in zip(fake, real)]
    # slicing d or taking its mean would give gradients that are not channels-last
    means = torch.stack([d.sum((1, 2, 3)) / (d.numel() / len(d)) for d in distances])  # 1 / N_i
    return means[:, :num_coded].mean(1).sum()
