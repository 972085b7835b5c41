"""Transforms of image, label and instances."""

from .formatting import SLNPLabelToImage, SLNPPackInputs
from .loading import SLNPLoadImage, SLNPLoadInstances, SLNPLoadLabel
from .processing import SLNPCrop, SLNPFlip, SLNPResize

__all__ = [
    'SLNPCrop',
    'SLNPFlip',
    'SLNPLabelToImage',
    'SLNPLoadImage',
    'SLNPLoadInstances',
    'SLNPLoadLabel',
    'SLNPPackInputs',
    'SLNPResize',
]
