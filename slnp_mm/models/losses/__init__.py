"""Losses."""

from .slnp_feature_matching_loss import SLNPFeatureMatchingLoss
from .slnp_gan_loss import SLNPGANLoss
from .slnp_mode_seeking_loss import SLNPModeSeekingLoss
from .slnp_r1_loss import SLNPR1Loss

__all__ = [
    'SLNPFeatureMatchingLoss',
    'SLNPGANLoss',
    'SLNPModeSeekingLoss',
    'SLNPR1Loss',
]
