"""Networks, losses and the training step."""

from .discriminators import SLNPDiscriminator, SLNPPretrainedDiscriminator
from .generators import SLNPGenerator, SLNPGlobalGenerator, SLNPLocalRefiner
from .layers import SLNPDiffAugment
from .losses import (
    SLNPFeatureMatchingLoss,
    SLNPGANLoss,
)
from .slnp_data_preprocessor import SLNPDataPreprocessor
from .slnp_gan import SLNPGAN
from .vaes import NoisePriorVAE

__all__ = [
    'NoisePriorVAE',
    'SLNPDataPreprocessor',
    'SLNPDiffAugment',
    'SLNPDiscriminator',
    'SLNPFeatureMatchingLoss',
    'SLNPGAN',
    'SLNPGANLoss',
    'SLNPGenerator',
    'SLNPGlobalGenerator',
    'SLNPLocalRefiner',
    'SLNPPretrainedDiscriminator',
]
