"""Networks that judge images."""

from .deeplabv3 import DeepLabV3Scorer, areas_of, file_sha256, scores_of

__all__ = ['DeepLabV3Scorer', 'areas_of', 'file_sha256', 'scores_of']
