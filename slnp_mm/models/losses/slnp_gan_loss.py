"""The adversarial loss."""

import math

import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from ...errors import SLNPError
from ..layers.precision import as_float

GAN_TYPES = ('log', 'hinge')


@MODELS.register_module()
class SLNPGANLoss(nn.Module):
    r"""GAN loss on patch logits, by default with base-2 logarithms.

    .. math::
        \min_G \max_D E[\mathrm{lb}\, D(x)]
            + E[\mathrm{lb}(1 - D(G(L)))], \quad D = \sigma(\mathrm{logits})

    The returned terms are to be minimised: for the discriminator the negated terms (2 bits in total
    at D = 0.5), for the generator the second term (``saturating=True``, as printed) or
    ``-E[lb D(G(L))]``.

    Source:
        paper: SLNP-GAN, Eq. (18).
        reference: non-saturating form, Goodfellow et al., arXiv:1406.2661; hinge form, Lim and Ye,
            arXiv:1705.02894.

    Args:
        gan_type (str): 'log' or 'hinge'. Defaults to 'log'.
        saturating (bool): Whether the generator minimises the printed term; ignored for 'hinge'.
            Defaults to True.

    Raises:
        SLNPError: If ``gan_type`` is unknown.
    """

    def __init__(self, gan_type: str = 'log', saturating: bool = True) -> None:
        super().__init__()
        if gan_type not in GAN_TYPES:
            raise SLNPError(f'gan_type must be one of {GAN_TYPES}, but got {gan_type!r}.')
        self.gan_type = gan_type
        self.saturating = saturating

    def forward(self, logits: Tensor, target_is_real: bool, is_disc: bool) -> Tensor:
        """Compute one term.

        Args:
            logits (Tensor): Patch logits, (B, 1, h, w), float.
            target_is_real (bool): For the discriminator, whether the images are real; always True
                for the generator.
            is_disc (bool): Whether this is the discriminator's loss.

        Returns:
            Tensor: Scalar, shape (); bits for 'log', no unit for 'hinge'.
        """
        logits = as_float(logits)
        if self.gan_type == 'hinge':
            if not is_disc:
                return -logits.mean()
            return F.relu(1 - logits if target_is_real else 1 + logits).mean()
        if is_disc and not target_is_real:
            return F.softplus(logits).mean() / math.log(2)  # -lb(1 - D)
        if not is_disc and self.saturating:
            return -F.softplus(logits).mean() / math.log(2)  # lb(1 - D)
        return F.softplus(-logits).mean() / math.log(2)  # -lb D
