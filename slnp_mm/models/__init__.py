"""Networks, losses and the training step."""

from .discriminators import SLNPDiscriminator
from .generators import SLNPGenerator, SLNPGlobalGenerator, SLNPLocalRefiner
from .losses import SLNPFeatureMatchingLoss, SLNPGANLoss, SLNPR1Loss
from .slnp_data_preprocessor import SLNPDataPreprocessor
from .slnp_gan import SLNPGAN
from .vaes import NoisePriorVAE

__all__ = [
    'NoisePriorVAE',
    'SLNPDataPreprocessor',
    'SLNPDiscriminator',
    'SLNPFeatureMatchingLoss',
    'SLNPGAN',
    'SLNPGANLoss',
    'SLNPGenerator',
    'SLNPGlobalGenerator',
    'SLNPLocalRefiner',
    'SLNPR1Loss',
]
