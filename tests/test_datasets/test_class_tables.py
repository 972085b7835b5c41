from slnp_mm.datasets import SLNPCOCOStuff
from slnp_mm.datasets.coco_stuff import COCO_UNUSED, coco_raw_to_train
from slnp_mm.datasets.slnp_dataset import distinct_palette, mmseg_metainfo

COCO_RAW_NAMES = SLNPCOCOStuff(lazy_init=True).metainfo['classes']


def test_coco_map_spells_one_name_on_both_sides():
    train = mmseg_metainfo('COCOStuffDataset')['classes']
    table = coco_raw_to_train()
    assert len(SLNPCOCOStuff(lazy_init=True).metainfo['palette']) == 182
    assert (
        COCO_RAW_NAMES[156] == 'sky-other'
        and len(COCO_RAW_NAMES) == 182
        and COCO_RAW_NAMES[181] == 'wood'
        and len(train) == 171
    )
    assert sorted(table.values()) == list(range(171))
    for raw, index in table.items():
        assert COCO_RAW_NAMES[raw] == train[index], (raw, index)


def test_coco_unused_ids_are_the_eleven_never_annotated():
    assert ', '.join(COCO_RAW_NAMES[raw] for raw in COCO_UNUSED) == (
        'street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender, '
        'hair brush'
    )


def test_distinct_palette_has_no_color_twice():
    assert len({tuple(c) for c in distinct_palette(255)}) == 255
