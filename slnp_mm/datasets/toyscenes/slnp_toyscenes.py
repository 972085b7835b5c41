"""ToyScenes, the embedded data set."""

from mmagic.registry import DATASETS

from ..slnp_dataset import SLNPDataset
from .palette import CLASSES, PALETTE


@DATASETS.register_module()
class SLNPToyScenes(SLNPDataset):
    """Drawn street and landscape scenes, written by make_toyscenes.

    ::

        ROOT/images/{train2017,val2017}/*.jpg
        ROOT/stuffthingmaps/{train2017,val2017}/*.png   0..9, 255
        ROOT/instances/{train2017,val2017}/*.png        ids, 255 = none
    """

    METAINFO = dict(classes=CLASSES, palette=PALETTE)
    DATA_ROOT = 'data/toyscenes'
    SPLIT = 'train2017'
    FOLDERS = dict(
        img='images/{split}', label='stuffthingmaps/{split}', instance='instances/{split}'
    )
    MISSING_ROOT = 'draw it with "python tools/make_toyscenes.py --out {root}"'
