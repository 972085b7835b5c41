"""The adversarial loss of a discriminator that segments."""

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from ..layers import UNLABELLED, stride_ids


@MODELS.register_module()
class SLNPSegmentationGANLoss(nn.Module):
    r"""Cross entropy over C classes and one more, 'generated'.

    .. math::
        L_D = -E[w_c \log p_c(x)] - E[\log p_{C}(G(L))], \quad
        L_G = -E[w_c \log p_c(G(L))], \quad w_c = \frac{1}{K n_c}

    with c the class of a pixel, n_c its share of the batch's labelled pixels and K the number
    of classes in the batch, so that each class weighs alike and the weights average 1.

    Source:
        reference: OASIS, arXiv:2012.04781, Eq. (1) and (2).
        ours: weights average 1 whatever the number of classes in the batch.
    """

    def forward(self, logits: Tensor, target_is_real: bool, is_disc: bool, label: Tensor) -> Tensor:
        """Compute one term.

        Args:
            logits (Tensor): (B, C + 1, h, w), float, any range.
            target_is_real (bool): Whether the pixels are to be named by their class. The
                generator always has True.
            is_disc (bool): Not read: both networks name pixels in the same way.
            label (Tensor): (B, H, W), int64, 0..C-1 or 255; H a multiple of h.

        Returns:
            Tensor: Scalar, shape (), nats, >= 0.
        """
        generated = logits.shape[1] - 1
        if not target_is_real:
            target = torch.full_like(logits[:, 0], generated, dtype=torch.long)
            return F.cross_entropy(logits, target)
        label = stride_ids(label, label.shape[-2] // logits.shape[-2])

        # each class of the batch weighs alike
        counts = torch.bincount(label.flatten(), minlength=UNLABELLED + 1)[:generated]
        weights = counts.sum() / counts.clamp(min=1) / (counts > 0).sum().clamp(min=1)
        weights = F.pad(weights * (counts > 0), (0, 1)).to(logits.dtype)
        nats = F.cross_entropy(logits, label, weights, ignore_index=UNLABELLED, reduction='sum')
        return nats / counts.sum().clamp(min=1)

    def probability(self, logits: Tensor) -> Tensor:
        """Mean probability that the images are real: not 'generated', shape ()."""
        return 1 - logits.softmax(1)[:, -1].mean()
