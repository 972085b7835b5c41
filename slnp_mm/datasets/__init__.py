"""Data sets, transforms and data checks."""

from ..errors import CorruptFileError, DataError
from .ade20k import SLNPADE20K
from .camvid import SLNPCamVid
from .check import check_dataset, quick_check
from .cityscapes import SLNPCityscapes
from .coco_stuff import SLNPCOCOStuff
from .nuclei import SLNPNuclei
from .nyuv2 import SLNPNYUv2
from .samplers import STOP_SIGNALS, SLNPBatchSampler, seed_all
from .slnp_dataset import SLNPDataset
from .toyscenes import SLNPToyScenes
from .transforms import *  # noqa: F401, F403
from .transforms import __all__ as _transforms

__all__ = [
    'SLNPADE20K',
    'SLNPBatchSampler',
    'SLNPCamVid',
    'SLNPCityscapes',
    'SLNPCOCOStuff',
    'CorruptFileError',
    'DataError',
    'STOP_SIGNALS',
    'SLNPDataset',
    'SLNPNYUv2',
    'SLNPNuclei',
    'SLNPToyScenes',
    'check_dataset',
    'quick_check',
    'seed_all',
] + _transforms
