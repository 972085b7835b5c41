"""Losses."""

from .feature_matching_loss import feature_matching_loss
from .slnp_gan_loss import SLNPGANLoss

__all__ = ['SLNPGANLoss', 'feature_matching_loss']
