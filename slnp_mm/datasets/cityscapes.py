"""Cityscapes fine annotations, 19 of 34 classes."""

from mmagic.registry import DATASETS

from .slnp_dataset import SLNPDataset

# From id in *_labelIds.png to train id; 255 = not evaluated. Train ids keep the order of the ids.
TRAIN_IDS = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)
LABEL_MAP = {i: 255 for i in (*range(34), 255)}
LABEL_MAP.update({raw: train for train, raw in enumerate(TRAIN_IDS)})


@DATASETS.register_module()
class SLNPCityscapes(SLNPDataset):
    """Cityscapes: 19 evaluated classes and ``*_instanceIds.png``.

    ::

        ROOT/leftImg8bit/{train,val}/CITY/*_leftImg8bit.png
        ROOT/gtFine/{train,val}/CITY/*_gtFine_labelIds.png
        ROOT/gtFine/{train,val}/CITY/*_gtFine_instanceIds.png

    Instance ids >= 1000 are objects (class * 1000 + number); below, each class is one instance.
    ``label_suffix='_gtFine_labelTrainIds.png'``, as in mmseg, reads files of 0..18 and 255.
    """

    MMSEG_NAME = 'CityscapesDataset'
    LABEL = dict(label_map=LABEL_MAP)
    INSTANCE = dict(background_below=1000)
    DATA_ROOT = 'data/cityscapes'
    SPLIT = 'train'
    FOLDERS = dict(img='leftImg8bit/{split}', label='gtFine/{split}', instance='gtFine/{split}')
    SUFFIXES = dict(
        img='_leftImg8bit.png', label='_gtFine_labelIds.png', instance='_gtFine_instanceIds.png'
    )

    def __init__(self, *args, label_suffix: str | None = None, **kwargs) -> None:
        if 'labelTrainIds' in str(label_suffix):
            self.LABEL = dict()  # these files hold train ids
        super().__init__(*args, label_suffix=label_suffix, **kwargs)
