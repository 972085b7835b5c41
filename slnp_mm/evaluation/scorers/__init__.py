"""Networks that score images."""

from .base import file_sha256
from .deeplabv3 import DeepLabV3Scorer, areas_of, scores_of
from .inception import InceptionFeatures

__all__ = ['DeepLabV3Scorer', 'InceptionFeatures', 'areas_of', 'file_sha256', 'scores_of']
