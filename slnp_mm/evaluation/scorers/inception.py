"""Inception v3 features by mmagic's own code, with weights from a file."""

import os
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slnp_mm.checkpoint import read_checkpoint

from ...errors import SLNPError
from .base import Scorer


class InceptionFeatures(Scorer):
    """2048 features of Inception v3's last pooling layer.

    Source:
        reference: mmagic 1.2 ``InceptionV3``, style 'pytorch': the PyTorch port of TensorFlow's
            weights, which the literature on label-to-image synthesis uses (SPADE, OASIS and the
            paper's competitors). mmagic's default style is another network.

    Args:
        weights (str): The file ``pt_inception-2015-12-05-6726825d.pth``.

    Raises:
        SLNPError: If the file is missing (names its URL) or holds other weights.
    """

    def __init__(self, weights: str) -> None:
        from mmagic.evaluation.functional.fid_inception import FID_WEIGHTS_URL, fid_inception_v3

        if not os.path.isfile(weights):
            raise SLNPError(
                f'Inception weights {weights} do not exist: put {FID_WEIGHTS_URL} there, or leave '
                'FID and KID out.'
            )
        net = fid_inception_v3(load_ckpt=False)
        try:
            net.load_state_dict(read_checkpoint(weights))
        except (RuntimeError, AttributeError, TypeError) as error:
            reason = re.sub(r'\s+', ' ', str(error))[:160]
            raise SLNPError(
                f'Expected the FID weights of Inception v3 in {weights}, got something else '
                f'({reason}).'
            ) from error
        net.fc = nn.Identity()
        super().__init__(net, weights)

    @torch.no_grad()
    def features(self, images: Sequence[np.ndarray]) -> Tensor:
        """(N, 2048) float32 on the CPU, of (H, W, 3) uint8 BGR images of one size."""
        batch = torch.from_numpy(np.stack(images)[..., ::-1].copy())
        batch = batch.permute(0, 3, 1, 2).to(self.device)
        batch = (batch.float() - 127.5) / 127.5
        out = self.net(F.interpolate(batch, (299, 299), mode='bilinear', align_corners=False))
        return out.flatten(1).float().cpu()

    def describe(self) -> dict[str, object]:
        """See :class:`Scorer`."""
        return dict(
            network='Inception v3',
            style='pytorch',
            **super().describe(),
            resize='bilinear to 299 x 299, inside the network',
        )
