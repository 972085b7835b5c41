"""NYUv2, indoor images, with its usual 40 classes."""

from mmagic.registry import DATASETS

from .slnp_dataset import SLNPDataset

_CLASSES = tuple(
    (
        'wall, floor, cabinet, bed, chair, sofa, table, door, window, bookshelf, picture, counter, '
        'blinds, desk, shelves, curtain, dresser, pillow, mirror, floor mat, clothes, ceiling, '
        'books, refrigerator, television, paper, towel, shower curtain, box, whiteboard, person, '
        'night stand, toilet, sink, lamp, bathtub, bag, otherstructure, otherfurniture, otherprop'
    ).split(', ')
)


@DATASETS.register_module()
class SLNPNYUv2(SLNPDataset):
    """NYUv2: 40 indoor classes, ids 0..39 and 255; instances are connected components.

    ::

        ROOT/images/{train,val}/*.jpg
        ROOT/annotations/{train,val}/*.png

    Source:
        reference: Silberman et al., ECCV 2012; the 40 classes by Gupta et al., CVPR 2013.
        ours: the 795 published training images; val is the first 327 of the 654 test images.
    """

    METAINFO = dict(classes=_CLASSES)
    DATA_ROOT = 'data/nyuv2'
    SPLIT = 'train'
    FOLDERS = dict(img='images/{split}', label='annotations/{split}')
