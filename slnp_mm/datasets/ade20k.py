"""ADE20K scene parsing, 150 classes."""

from mmagic.registry import DATASETS

from .slnp_dataset import SLNPDataset


@DATASETS.register_module()
class SLNPADE20K(SLNPDataset):
    """ADE20K SceneParsing: 150 classes, 0 = unlabelled in the files.

    ::

        ROOT/images/{training,validation}/*.jpg
        ROOT/annotations/{training,validation}/*.png   0, 1..150

    SceneParsing has no instance maps: instances are connected components.
    """

    MMSEG_NAME = 'ADE20KDataset'
    LABEL = dict(reduce_zero_label=True)
    DATA_ROOT = 'data/ade/ADEChallengeData2016'
    SPLIT = 'training'
    FOLDERS = dict(img='images/{split}', label='annotations/{split}')
