"""COCO-Stuff 164k with its 182 raw classes."""

from mmagic.registry import DATASETS

from .class_tables import (
    NUM_COCO_RAW,
    coco_raw_to_train,
    distinct_palette,
    mmseg_metainfo,
)
from .coco_names import COCO_RAW_NAMES
from .slnp_dataset import SLNPDataset


@DATASETS.register_module()
class SLNPCOCOStuff(SLNPDataset):
    """COCO-Stuff 164k: pictures, ``stuffthingmaps`` and instances.

    ::

        ROOT/images/train2017/*.jpg
        ROOT/stuffthingmaps/train2017/*.png   raw ids 0..181, 255
        ROOT/instances/train2017/*.png        optional, SPADE-style ids
        ROOT/annotations/instances_train2017.json  optional

    Source:
        paper: 182 classes condition the generator.
        reference: mmseg's palette for the 171 train classes.

    Args:
        split (str): 'train2017' or 'val2017'; sets ``data_prefix``.
        train_ids (bool): Give mmseg's 171 train ids instead of the 182 raw
            ones. Defaults to False.
        instances (str): Where instances come from: 'png', 'json' or
            'components'. Defaults to 'png'.
        data_prefix (dict, optional): Overrides the folders of ``split``.
        label (dict, optional): See ``SLNPDataset``.
        instance (dict, optional): See ``SLNPDataset``.
        metainfo (dict, optional): See ``SLNPDataset``.
        **kwargs: See ``SLNPDataset``.
    """

    def __init__(
        self,
        data_root: str = 'data/coco_stuff164k',
        split: str = 'train2017',
        train_ids: bool = False,
        instances: str = 'png',
        data_prefix: dict | None = None,
        label: dict | None = None,
        instance: dict | None = None,
        metainfo: dict | None = None,
        **kwargs,
    ) -> None:
        if instances not in ('png', 'json', 'components'):
            raise ValueError(f"instances must be 'png', 'json' or 'components', got {instances!r}")
        to_train = coco_raw_to_train()
        info = mmseg_metainfo('COCOStuffDataset')
        if not train_ids:
            info = self._raw_info(info, to_train)
        else:
            label = {'label_map': to_train, **(label or {})}
        if instances == 'json':
            categories = {raw + 1: train for raw, train in to_train.items()}
            instance = {
                'json_file': f'annotations/instances_{split}.json',
                'category_map': categories if train_ids else None,
                **(instance or {}),
            }
        prefix = dict(
            img=f'images/{split}',
            label=f'stuffthingmaps/{split}',
            instance=f'instances/{split}' if instances == 'png' else '',
        )
        super().__init__(
            data_root=data_root,
            data_prefix={**prefix, **(data_prefix or {})},
            label=label,
            instance=instance,
            metainfo={**info, **(metainfo or {})},
            **kwargs,
        )

    @staticmethod
    def _raw_info(train_info: dict, to_train: dict) -> dict:
        """Names and colours of the 182 raw classes."""
        palette = distinct_palette(NUM_COCO_RAW)
        for raw, train in to_train.items():
            palette[raw] = train_info['palette'][train]
        return dict(classes=COCO_RAW_NAMES, palette=palette)
