"""Train mmagic's Pix2Pix, whose initial weights stop mmagic 1.2.0: tools/train.py with them mended."""

import runpy
import sys

from mmagic.models.archs import patch_disc
from mmagic.models.editors.pix2pix import pix2pix_generator
from torch import nn


def init(module: nn.Module, **_) -> None:
    """Draw the weights of all convolutions from N(0, 0.02)."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0, 0.02)


patch_disc.generation_init_weights = pix2pix_generator.generation_init_weights = init
sys.path.insert(0, 'tools')
runpy.run_path('tools/train.py', run_name='__main__')
