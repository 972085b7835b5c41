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

STYLES = ('pytorch', 'StyleGAN')


class InceptionFeatures(Scorer):
    """2048 features of Inception v3's last pooling layer.

    Source:
        reference: mmagic 1.2 ``InceptionV3`` and its torch.jit loading. mmagic's default style is
            ``'StyleGAN'``; the literature on label-to-image synthesis (SPADE, OASIS and the paper's
            competitors) uses the PyTorch port of TensorFlow's weights, which is the default here.
            The two must not be compared.

    Args:
        weights (str): File: ``pt_inception-2015-12-05-6726825d.pth`` for 'pytorch', the scripted
            ``inception-2015-12-05.pt`` for 'StyleGAN'.
        style (str): 'pytorch' or 'StyleGAN'.

    Raises:
        SLNPError: If the file is missing (names its URL), the style is unknown or the weights are
            wrong.
    """

    dims = 2048

    def __init__(self, weights: str, style: str = 'pytorch') -> None:
        if style not in STYLES:
            raise SLNPError(f'Expected an Inception style out of {STYLES}, got {style!r}.')
        if not os.path.isfile(weights):
            raise SLNPError(
                f'Inception weights {weights} do not exist: put '
                f'{_source(style)} there, or leave FID and KID out.'
            )
        self.style = style
        scripted = style == 'StyleGAN'
        net = torch.jit.load(weights, map_location='cpu') if scripted else _load_pytorch(weights)
        super().__init__(net, weights)

    @torch.no_grad()
    def features(self, images: Sequence[np.ndarray]) -> Tensor:
        """(N, 2048) float32 on the CPU, of (H, W, 3) uint8 BGR images of one size."""
        batch = torch.from_numpy(np.stack(images)[..., ::-1].copy())
        batch = batch.permute(0, 3, 1, 2).to(self.device)
        if self.style == 'StyleGAN':
            out = self.net(batch, return_features=True)
        else:
            batch = (batch.float() - 127.5) / 127.5
            out = self.net(F.interpolate(batch, (299, 299), mode='bilinear', align_corners=False))
        return out.flatten(1).float().cpu()

    def describe(self) -> dict[str, object]:
        """See :class:`Scorer`."""
        return dict(
            network='Inception v3',
            style=self.style,
            **super().describe(),
            resize='bilinear to 299 x 299, inside the network',
        )


def _source(style: str) -> str:
    from mmagic.evaluation.functional.fid_inception import FID_WEIGHTS_URL
    from mmagic.evaluation.functional.inception_utils import TERO_INCEPTION_URL

    return FID_WEIGHTS_URL if style == 'pytorch' else TERO_INCEPTION_URL


def _load_pytorch(path: str) -> nn.Module:
    """The network of mmagic's ``InceptionV3`` with FID weights from a file."""
    from mmagic.evaluation.functional.fid_inception import fid_inception_v3

    net = fid_inception_v3(load_ckpt=False)
    try:
        net.load_state_dict(read_checkpoint(path))
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = re.sub(r'\s+', ' ', str(error))[:160]
        raise SLNPError(
            f'Expected the FID weights of Inception v3 in {path}, got something else ({reason}).'
        ) from error
    net.fc = nn.Identity()
    return net
