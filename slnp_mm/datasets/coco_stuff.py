"""COCO-Stuff 164k with its 182 raw classes."""

from mmagic.registry import DATASETS

from ..errors import SLNPError
from .slnp_dataset import SLNPDataset, distinct_palette, mmseg_metainfo

NUM_COCO_RAW = 182
# COCO ids that were never annotated and that mmseg leaves out, as in ``stuffthingmaps`` PNGs: the
# published id minus one.
COCO_UNUSED = {
    11: 'street sign',
    25: 'hat',
    28: 'shoe',
    29: 'eye glasses',
    44: 'plate',
    65: 'mirror',
    67: 'window',
    68: 'desk',
    70: 'door',
    82: 'blender',
    90: 'hair brush',
}


def coco_raw_to_train() -> dict[int, int]:
    """Map 171 of COCO-Stuff's raw ids, 0..181, to mmseg's train ids, 0..170.

    Source:
        reference: COCO-Stuff's label list; mmseg's COCOStuffDataset, which keeps the order and
            skips the unused ids.
    """
    used = [raw for raw in range(NUM_COCO_RAW) if raw not in COCO_UNUSED]
    return {raw: train for train, raw in enumerate(used)}


@DATASETS.register_module()
class SLNPCOCOStuff(SLNPDataset):
    """COCO-Stuff 164k: images, ``stuffthingmaps`` and instances.

    ::

        ROOT/images/train2017/*.jpg
        ROOT/stuffthingmaps/train2017/*.png   raw ids 0..181, 255
        ROOT/instances/train2017/*.png        optional, SPADE-style ids
        ROOT/annotations/instances_train2017.json  optional

    Source:
        paper: 182 classes condition the generator.
        reference: mmseg's names and palette for the 171 train classes.

    Args:
        split (str): 'train2017' or 'val2017'.
        instances (str): Where instances come from: 'png', 'json' or 'components'.
        **kwargs: See ``SLNPDataset``.
    """

    DATA_ROOT = 'data/coco_stuff164k'
    SPLIT = 'train2017'
    FOLDERS = dict(
        img='images/{split}', label='stuffthingmaps/{split}', instance='instances/{split}'
    )

    def __init__(
        self,
        data_root: str | None = None,
        split: str | None = None,
        instances: str = 'png',
        **kwargs,
    ) -> None:
        if instances not in ('png', 'json', 'components'):
            raise SLNPError(f"instances must be 'png', 'json' or 'components', got {instances!r}")
        if instances == 'json':
            file = f'annotations/instances_{split or self.SPLIT}.json'
            kwargs['instance'] = {'json_file': file, **(kwargs.get('instance') or {})}
        if instances != 'png':
            kwargs['data_prefix'] = {'instance': '', **(kwargs.get('data_prefix') or {})}
        kwargs['metainfo'] = {**_raw_metainfo(), **(kwargs.get('metainfo') or {})}
        super().__init__(data_root, split, **kwargs)


def _raw_metainfo() -> dict:
    """Names and colors of the 182 raw classes."""
    info = mmseg_metainfo('COCOStuffDataset')
    names, palette = {**COCO_UNUSED}, distinct_palette(NUM_COCO_RAW)
    for raw, train in coco_raw_to_train().items():
        names[raw], palette[raw] = info['classes'][train], info['palette'][train]
    return dict(classes=tuple(names[raw] for raw in range(NUM_COCO_RAW)), palette=palette)
