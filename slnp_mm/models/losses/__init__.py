"""Losses."""

from .slnp_feature_matching_loss import SLNPFeatureMatchingLoss
from .slnp_gan_loss import SLNPGANLoss

__all__ = ['SLNPFeatureMatchingLoss', 'SLNPGANLoss']
