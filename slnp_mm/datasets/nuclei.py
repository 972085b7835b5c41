"""Nuclei: microscope images of cells, two classes and an instance map."""

from mmagic.registry import DATASETS

from .slnp_dataset import SLNPDataset


@DATASETS.register_module()
class SLNPNuclei(SLNPDataset):
    """Data Science Bowl 2018, stage 1, CC0: background 0 and nucleus 1.

    ::

        ROOT/images/{train,val}/*.jpg
        ROOT/labels/{train,val}/*.png       0, 1
        ROOT/instances/{train,val}/*.png    16 bits, one number per nucleus, 0 = background

    Nuclei touch: only the instance maps separate them.
    """

    METAINFO = dict(classes=('background', 'nucleus'), palette=[[32, 24, 56], [240, 200, 80]])
    INSTANCE = dict(background_ids=(0,))
    DATA_ROOT = 'data/nuclei'
    SPLIT = 'train'
    FOLDERS = dict(img='images/{split}', label='labels/{split}', instance='instances/{split}')
