import ast
from pathlib import Path

import pytest

import slnp_mm.datasets
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


@pytest.mark.parametrize('name, num', [('ADE20KDataset', 150), ('CityscapesDataset', 19)])
def test_names_come_from_mmseg(name, num):
    info = mmseg_metainfo(name)
    assert len(info['classes']) == len(info['palette']) == num


def test_distinct_palette_has_no_color_twice():
    assert len({tuple(c) for c in distinct_palette(255)}) == 255


def test_heavy_packages_are_only_imported_inside_functions():
    folder = Path(slnp_mm.datasets.__file__).parent
    for path in folder.rglob('*.py'):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [getattr(node, 'module', None) or '']
            heavy = {n.split('.')[0] for n in names} & {'mmseg', 'pycocotools'}
            assert not heavy, (path, heavy)
