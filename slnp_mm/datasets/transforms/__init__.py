"""Transforms of image, label and instances."""

from .formatting import SLNPLabelToImage, SLNPPackInputs, SLNPToSeg
from .loading import SLNPLoadImage, SLNPLoadInstances, SLNPLoadLabel
from .processing import SLNPFlip, SLNPResize

__all__ = [
    'SLNPFlip',
    'SLNPLabelToImage',
    'SLNPLoadImage',
    'SLNPLoadInstances',
    'SLNPLoadLabel',
    'SLNPPackInputs',
    'SLNPResize',
    'SLNPToSeg',
]
