"""The ToyScenes data set."""

from mmagic.registry import DATASETS

from ..slnp_dataset import SLNPDataset
from .palette import CLASSES, PALETTE


@DATASETS.register_module()
class SLNPToyScenes(SLNPDataset):
    """Drawn street and landscape scenes in COCO-Stuff's layout; 255 = unlabelled, no instance."""

    METAINFO = dict(classes=CLASSES, palette=PALETTE)
    DATA_ROOT = 'data/toyscenes'
    SPLIT = 'train2017'
    FOLDERS = dict(
        img='images/{split}', label='stuffthingmaps/{split}', instance='instances/{split}'
    )
    MISSING_ROOT = 'draw it with "python tools/make_toyscenes.py --out {root}"'
