"""Transforms over picture, label and instances."""

from .formatting import SLNPLabelToImage, SLNPPackInputs
from .loading import SLNPLoadImage, SLNPLoadInstances, SLNPLoadLabel
from .processing import SLNPColorJitter, SLNPCrop, SLNPFlip, SLNPResize

__all__ = [
    'SLNPColorJitter',
    'SLNPCrop',
    'SLNPFlip',
    'SLNPLabelToImage',
    'SLNPLoadImage',
    'SLNPLoadInstances',
    'SLNPLoadLabel',
    'SLNPPackInputs',
    'SLNPResize',
]
