"""Cityscapes fine annotations, 19 of 34 classes."""

from mmagic.registry import DATASETS

from .slnp_dataset import SLNPDataset

# From id in *_labelIds.png to train id, 255 = not evaluated; the order of
# the train ids is the order of the ids.
TRAIN_IDS = (
    7,
    8,
    11,
    12,
    13,
    17,
    19,
    20,
    21,
    22,
    23,
    24,
    25,
    26,
    27,
    28,
    31,
    32,
    33,
)
LABEL_MAP = {i: 255 for i in (*range(34), 255)}
LABEL_MAP.update({raw: train for train, raw in enumerate(TRAIN_IDS)})


@DATASETS.register_module()
class SLNPCityscapes(SLNPDataset):
    """Cityscapes: 19 evaluated classes and ``*_instanceIds.png``.

    ::

        ROOT/leftImg8bit/{train,val}/CITY/*_leftImg8bit.png
        ROOT/gtFine/{train,val}/CITY/*_gtFine_labelIds.png
        ROOT/gtFine/{train,val}/CITY/*_gtFine_instanceIds.png

    Instance ids >= 1000 are objects (class * 1000 + number); below, the
    pixels of a class are one instance.

    Args:
        split (str): 'train' or 'val'.
        data_prefix (dict, optional): Overrides the folders of ``split``.
        **kwargs: See ``SLNPDataset``.
    """

    MMSEG_NAME = 'CityscapesDataset'
    LABEL = dict(label_map=LABEL_MAP)
    INSTANCE = dict(background_below=1000)

    def __init__(
        self,
        data_root: str = 'data/cityscapes',
        split: str = 'train',
        data_prefix: dict | None = None,
        **kwargs,
    ) -> None:
        prefix = dict(
            img=f'leftImg8bit/{split}',
            label=f'gtFine/{split}',
            instance=f'gtFine/{split}',
        )
        kwargs = (
            dict(
                img_suffix='_leftImg8bit.png',
                label_suffix='_gtFine_labelIds.png',
                instance_suffix='_gtFine_instanceIds.png',
            )
            | kwargs
        )
        super().__init__(
            data_root=data_root,
            data_prefix={**prefix, **(data_prefix or {})},
            **kwargs,
        )
