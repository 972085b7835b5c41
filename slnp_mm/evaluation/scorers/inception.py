"""Inception v3 features by mmagic's own code, weights from a file."""

import os
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from slnp_mm.checkpoint import read_checkpoint

from .base import Scorer

# Where the modules of the FID Inception sit in mmagic's ``InceptionV3``.
BLOCKS: tuple[tuple[str, ...], ...] = (
    ('Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3'),
    ('Conv2d_3b_1x1', 'Conv2d_4a_3x3'),
    tuple(f'Mixed_{name}' for name in ('5b', '5c', '5d', '6a', '6b', '6c', '6d', '6e')),
    ('Mixed_7a', 'Mixed_7b', 'Mixed_7c'),
)
STYLES = ('pytorch', 'StyleGAN')


class InceptionFeatures(Scorer):
    """2048 features of Inception v3's last pooling.

    Source:
        reference: mmagic 1.2 ``InceptionV3`` and its torch.jit loading. mmagic's default style is
            ``'StyleGAN'``; the literature on label-to-image synthesis (SPADE, OASIS and the paper's
            competitors) uses the PyTorch port of TensorFlow's weights, so that is the default here.
            The two must not be compared.

    Args:
        weights (str): File: ``pt_inception-2015-12-05-6726825d.pth`` for 'pytorch', the scripted
            ``inception-2015-12-05.pt`` for 'StyleGAN'.
        style (str): 'pytorch' or 'StyleGAN'.

    Raises:
        FileNotFoundError: If the file is missing; says where to put it.
        ValueError: If the style is unknown or the file holds other weights.
    """

    dims = 2048

    def __init__(self, weights: str, style: str = 'pytorch') -> None:
        if style not in STYLES:
            raise ValueError(f'Expected an Inception style out of {STYLES}, got {style!r}.')
        if not os.path.isfile(weights):
            raise FileNotFoundError(
                f'Inception weights {weights} do not exist: put '
                f'{_source(style)} there, or leave FID and KID out.'
            )
        self.style = style
        scripted = style == 'StyleGAN'
        net = torch.jit.load(weights, map_location='cpu') if scripted else _load_pytorch(weights)
        super().__init__(net, weights)

    @torch.no_grad()
    def features(self, images: Sequence[np.ndarray]) -> Tensor:
        """Features, (N, 2048) float32 on the CPU, of (H, W, 3) uint8 BGR images of one size."""
        batch = torch.from_numpy(np.stack(images)[..., ::-1].copy())
        batch = batch.permute(0, 3, 1, 2).to(self.device)
        if self.style == 'StyleGAN':
            out = self.net(batch, return_features=True)
        else:
            out = self.net((batch.float() - 127.5) / 127.5)[0]
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
    """Mmagic's ``InceptionV3`` with the FID weights of a file."""
    from mmagic.evaluation.functional.fid_inception import InceptionV3

    try:
        state = read_checkpoint(path)
        net = InceptionV3([3], normalize_input=False, load_fid_inception=False)
        for block, names in zip(net.blocks, BLOCKS):
            for module, name in zip(block, names):
                module.load_state_dict(_below(state, name))
    except (RuntimeError, AttributeError) as error:
        reason = re.sub(r'\s+', ' ', str(error))[:160]
        raise ValueError(
            f'Expected the FID weights of Inception v3 in {path}, got something else ({reason}).'
        ) from error
    return net


def _below(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    head = f'{name}.'
    return {k[len(head) :]: v for k, v in state.items() if k.startswith(head)}
