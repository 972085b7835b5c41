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

    Args:
        split (str): 'train' or 'val'.
        data_prefix (dict, optional): Overrides the folders of ``split``.
        **kwargs: See ``SLNPDataset``.
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
        ),
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

    def __init__(
        self,
        data_root: str = 'data/camvid',
        split: str = 'train',
        data_prefix: dict | None = None,
        **kwargs,
    ) -> None:
        prefix = dict(img=f'images/{split}', label=f'annotations/{split}')
        super().__init__(
            data_root=data_root,
            data_prefix={**prefix, **(data_prefix or {})},
            **kwargs,
        )
