"""Transforms over picture, label and instances."""

from .color_jitter import SLNPColorJitter
from .crop import SLNPCrop
from .flip import SLNPFlip
from .label_to_image import SLNPLabelToImage
from .load_image import SLNPLoadImage
from .load_instances import SLNPLoadInstances
from .load_label import SLNPLoadLabel
from .pack import SLNPPackInputs
from .resize import SLNPResize

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
