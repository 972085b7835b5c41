"""CamVid with its usual 11 classes."""

from mmagic.registry import DATASETS

from .slnp_dataset import SLNPDataset

_COLORS = dict(
    sky=(128, 128, 128),
    building=(128, 0, 0),
    pole=(192, 192, 128),
    road=(128, 64, 128),
    pavement=(60, 40, 222),
    tree=(128, 128, 0),
    sign=(192, 128, 128),
    fence=(64, 64, 128),
    car=(64, 0, 128),
    pedestrian=(64, 64, 0),
    bicyclist=(0, 128, 192),
)


@DATASETS.register_module()
class SLNPCamVid(SLNPDataset):
    """CamVid: 11 classes, ids 0..10 and 255; instances are connected components.

    ::

        ROOT/images/{train,val}/*.jpg
        ROOT/annotations/{train,val}/*.png

    Names and colors are those of CamVid's 11-class grouping; mmseg has no CamVid.
    """

    METAINFO = dict(classes=tuple(_COLORS), palette=[*_COLORS.values()])
    DATA_ROOT = 'data/camvid'
    SPLIT = 'train'
    FOLDERS = dict(img='images/{split}', label='annotations/{split}')
