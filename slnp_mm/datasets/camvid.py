"""CamVid with its usual 11 classes."""

from mmagic.registry import DATASETS

from .slnp_dataset import SLNPDataset


@DATASETS.register_module()
class SLNPCamVid(SLNPDataset):
    """CamVid: 11 classes, ids 0..10 and 255.

    ::

        ROOT/images/{train,val}/*.jpg
        ROOT/annotations/{train,val}/*.png

    Names and colours are those of CamVid's 11-class grouping; mmseg has no
    CamVid. Instances are connected components.
    """

    METAINFO = dict(
        classes=(
            'sky',
            'building',
            'pole',
            'road',
            'pavement',
            'tree',
            'sign',
            'fence',
            'car',
            'pedestrian',
            'bicyclist',
        ),  # fmt: skip
        palette=[
            [128, 128, 128],
            [128, 0, 0],
            [192, 192, 128],
            [128, 64, 128],
            [60, 40, 222],
            [128, 128, 0],
            [192, 128, 128],
            [64, 64, 128],
            [64, 0, 128],
            [64, 64, 0],
            [0, 128, 192],
        ],
    )
    DATA_ROOT = 'data/camvid'
    SPLIT = 'train'
    FOLDERS = dict(img='images/{split}', label='annotations/{split}')
