"""Losses."""

from .slnp_feature_matching_loss import SLNPFeatureMatchingLoss
from .slnp_gan_loss import SLNPGANLoss
from .slnp_segmentation_gan_loss import SLNPSegmentationGANLoss

__all__ = [
    'SLNPFeatureMatchingLoss',
    'SLNPGANLoss',
    'SLNPSegmentationGANLoss',
]
