"""The rules of instances, and COCO files as other tools write them."""

import json
import sys
import unicodedata

import numpy as np
import pytest

from slnp_mm.datasets import SLNPCOCOStuff
from slnp_mm.datasets.coco import find_image, read_coco
from slnp_mm.datasets.instances import (
    Instances,
    InstanceSource,
    by_area,
    from_ids,
    from_label,
    from_masks,
    keep_largest,
)
from slnp_mm.errors import DataError


def test_components_separate_touching_classes_and_islands():
    label = np.uint8([[0, 0, 1, 0], [1, 1, 1, 0], [255, 1, 0, 0]])
    found = keep_largest(from_label(label), 9, 'a')
    # class 1 is one piece of 5, class 0 two pieces of 4 and 2
    assert found.classes.tolist() == [1, 0, 0]
    assert found.layers[0].tolist() == [[2, 2, 0, 1], [0, 0, 0, 1], [-1, 0, 1, 1]]
    # neighbors across a corner are one
    assert len(from_label(np.uint8([[0, 1], [1, 0]])).classes) == 2


@pytest.mark.parametrize(
    'raw, label, background, classes, layer',
    [
        # the majority label counts, a sliver of class 5 does not
        ([7] * 12 + [900] * 3, [4] * 11 + [5] + [2] * 3, [], [4, 2], [0] * 12 + [1] * 3),
        # an id of two classes becomes two instances
        ([3] * 10, [1] * 6 + [8] * 4, [], [1, 8], [0] * 6 + [1] * 4),
        # an id over unlabelled pixels only is dropped; so is background there
        ([1, 2, 2], [0, 255, 255], [], [0], [0, -1, -1]),
        ([1, 2, 2], [255] * 3, [1, 2], [], [-1] * 3),
        # background is one instance a class; several such ids of one class are joined
        ([0, 0, 0, 26001, 26002, 0], [1, 2, 2, 5, 5, 1], [0], [1, 2, 5, 5], [0, 1, 1, 2, 3, 0]),
        ([3, 4, 4, 200], [1] * 4, [3, 4], [1, 1], [0, 0, 0, 1]),
    ],
)
def test_ids_become_instances_of_one_class(raw, label, background, classes, layer):
    raw = np.array([raw], np.uint8 if max(raw) < 256 else np.uint16)
    found = keep_largest(from_ids(raw, np.uint8([label]), background), 9, 'a')
    assert found.classes.tolist() == classes
    assert found.layers.tolist() == [[layer]]


def test_photograph_as_id_map_is_named():
    raw = np.arange(200 * 200, dtype=np.int32).reshape(200, 200)
    with pytest.raises(DataError, match=r'p\.png has 40000 .*an image instead'):
        from_ids(raw, np.zeros((200, 200), np.uint8), path='p.png')


def test_masks_that_overlap_are_kept_as_they_are():
    a, b = np.zeros((2, 1, 6), bool)
    a[0, :4], b[0, 2:5] = True, True
    label = np.uint8([[0, 0, 0, 3, 3, 7]])
    found = keep_largest(from_masks([a, b], [0, 3], label, 2), 9, 'a')
    masks = [(found.layers == i).any(0) for i in range(3)]
    assert found.classes.tolist() == [0, 3, 7]
    assert (masks[0] == a).all() and (masks[1] == b).all()
    assert masks[2].tolist() == [[False] * 5 + [True]]


def test_smaller_mask_wins_where_layers_run_out():
    big, small = np.ones((2, 1, 4), bool)
    small[0, 2:] = False
    found = from_masks([big, small], [0, 1], np.zeros((1, 4), np.uint8), 1)
    kinds = found.classes[found.layers[0]]
    assert kinds.tolist() == [[1, 1, 0, 0]]


def test_limit_keeps_the_largest_and_merges_the_rest_by_class():
    ids = np.repeat(np.arange(6), [9, 7, 3, 2, 2, 1])[None, None]
    classes = np.array([0, 1, 1, 1, 2, 2])
    found = keep_largest(Instances(ids, classes), 4, 'a')
    # keep 9 and 7; merge 3 + 2 of class 1 and 2 + 1 of class 2
    assert found.classes.tolist() == [0, 1, 1, 2]
    area = np.bincount(found.layers.ravel() + 1)[1:]
    assert area.tolist() == [9, 7, 5, 3]


@pytest.mark.parametrize('cap', range(3, 12))
def test_limit_never_drops_a_pixel(cap):
    rng = np.random.default_rng(cap)
    ids = rng.integers(0, 40, (1, 30, 30))
    classes = rng.integers(0, 3, 40)
    found = keep_largest(Instances(ids, classes), cap, 'a')
    assert len(found.classes) <= cap and (found.layers >= 0).all()
    assert (found.classes[found.layers] == classes[ids]).all()


def test_merged_overlapping_masks_count_a_pixel_once():
    layers = np.array([[[0, 1, 2, 2, 3]], [[-1, 2, -1, -1, -1]]])
    found = keep_largest(Instances(layers, np.array([0, 1, 1, 0])), 2, 'a')
    assert found.classes.tolist() == [1, 0]
    assert (found.layers == 0).sum() == 3


def test_more_classes_than_slots_is_named():
    ids = np.arange(3)[None, None]
    with pytest.raises(DataError, match=r'p\.png has 3 classes, more than max_instances=2'):
        keep_largest(Instances(ids, np.arange(3)), 2, 'p.png')


@pytest.mark.parametrize('num', [3, 200, 300])
def test_by_area_reorders_and_frees_slots(num):
    layers = np.array([[[0, num - 1, num - 1, -1]]])
    classes = np.arange(num) % 7
    found = by_area(layers, classes)
    assert found.layers.tolist() == [[[1, 0, 0, -1]]]
    assert found.classes.tolist() == [(num - 1) % 7, 0]
    found = by_area(np.full((1, 2, 2), -1), np.zeros(0, np.int16))
    assert found.classes.size == 0 and (found.layers == -1).all()


# COCO files, some as in public reports: cocoapi issue 262, yolact 414, X-AnyLabeling 447,
# detectron2 1319, cvat 2155 (all annotation ids are 0), 9460 (run lengths that exceed the mask) and
# 6014 (run lengths where polygons are expected)


def coco(path, annotations, file_names=('0.jpg', '1.jpg'), height=24):
    """Masks and classes, by path, of a COCO file of two images of 24x32 pixels."""
    images = [
        dict(id=i, file_name=name, height=height, width=32) for i, name in enumerate(file_names)
    ]
    data = dict(images=images, annotations=annotations, categories=[])
    path.write_text(json.dumps(data), encoding='utf-8-sig')
    found, source = read_coco(str(path)), InstanceSource(json_file=str(path), num_classes=3)
    return lambda path: source.masks(find_image(found, path), path, (24, 32))


def thing(**keys):
    box = [[4, 4, 12, 4, 12, 12, 4, 12]]
    return {**dict(id=1, image_id=0, category_id=1, segmentation=box), **keys}


@pytest.mark.parametrize('outline', [[], [[]], None, [[1, 1, 9, 9]], [[4, 4]]])
def test_object_without_an_outline_is_skipped_and_counted(tmp_path, monkeypatch, outline):
    lines = []
    monkeypatch.setattr('slnp_mm.datasets.coco.print_log', lambda text, *_: lines.append(text))
    bad = thing(id=7, segmentation=outline)
    if outline is None:
        del bad['segmentation']
    masks_of = coco(tmp_path / 'a.json', [thing(), bad, thing(id=8, image_id=1)])
    masks, classes = masks_of('x/0.jpg')
    assert classes == [0] and masks[0].sum() == 64
    assert len(masks_of('x/1.jpg')[0]) == 1
    (line,) = lines
    assert '1 annotations without an outline' in line
    assert line.endswith('skipped, first annotation 7 of image 0.jpg')
    if outline:  # a sound polygon beside it is kept
        both = thing(segmentation=[*outline, *thing()['segmentation']])
        masks, _ = coco(tmp_path / 'a.json', [both])('0.jpg')
        assert masks[0].sum() == 64


NO_OUTLINE = [thing(segmentation=[]), thing(segmentation=[[1, 1, 9, 9]])]
PANOPTIC = dict(image_id=0, file_name='0.png', segments_info=[dict(id=7, category_id=1, iscrowd=0)])


@pytest.mark.parametrize(
    'objects, words',
    [
        ([thing(category_id=9)], r'annotation 1 of 0\.jpg in .*: category id 9 has no class in 0'),
        ([thing(category_id='car')], 'category id car has no class'),
        ([thing(category_id=None)], r'annotation 1 of 0\.jpg in .*: category id None has no class'),
        (
            [thing(segmentation=dict(size=[48, 64], counts=[0, 48 * 64]))],
            'its run lengths are of 64x48, its image is 32x24',
        ),
        # cvat 9460: decoding them draws something, or reads beyond the picture
        (
            [thing(segmentation=dict(size=[24, 32], counts=[5, 24 * 32]))],
            'add up to 773 pixels, expected 768.*; export it again',
        ),
        ([thing(segmentation=dict(size=[24, 32]))], r"cannot be drawn \(KeyError\('counts'\)\)"),
        # cvat 6014: run lengths in the place of polygons, and of an odd count
        ([thing(segmentation=[5, 763])], 'annotation 1 of 0.jpg .* be drawn .*size, counts'),
        ([thing(segmentation=[[4, 4, 12, 4, 12, 12, 4]])], 'cannot be drawn .*size, counts'),
        ([thing(segmentation='box')], 'cannot be drawn'),
        ([thing(image_id='0')], 'has 1 annotations, none of an image that it lists'),
        ([thing(image_id=1), *NO_OUTLINE], r'none of the 2 annotations of 0\.jpg has an outline'),
        (
            [PANOPTIC],
            r'^\S*a\.json is a COCO panoptic JSON, .* set data_prefix=dict\(instance=\.\.\.\)',
        ),
    ],
)
def test_objects_that_cannot_be_read_are_named_with_their_picture(tmp_path, objects, words):
    with pytest.raises(DataError, match=words):
        coco(tmp_path / 'a.json', objects)('0.jpg')


def test_backslashes_and_accents_in_coco_names_are_understood(tmp_path):
    letters = unicodedata.normalize('NFD', 'é.jpg')
    masks_of = coco(tmp_path / 'a.json', [thing(image_id=1)], ['train\\0.jpg', letters])
    assert masks_of('x/train/0.jpg') == ([], [])
    assert len(masks_of(unicodedata.normalize('NFC', letters))[0]) == 1


def test_picture_without_height_or_listed_under_another_name_is_named(tmp_path):
    with pytest.raises(DataError, match=r'a\.json: image 0\.jpg has no height'):
        coco(tmp_path / 'a.json', [thing()], height=None)('0.jpg')
    with pytest.raises(DataError, match=r'/2\.jpg is listed 0 times in .*a\.json'):
        coco(tmp_path / 'a.json', [thing()])('x/2.jpg')


def test_equal_names_are_told_by_their_folder(tmp_path):
    masks_of = coco(tmp_path / 'a.json', [thing()], ['a/0.jpg', 'b/0.jpg'])
    assert [len(masks_of(f'x/{folder}/0.jpg')[0]) for folder in 'ab'] == [1, 0]
    with pytest.raises(DataError, match='lack their folders'):
        masks_of('x/0.jpg')


def test_json_is_read_before_the_workers_start(make_set):
    root = make_set('coco_stuff')
    steps = [dict(type=f'SLNPLoad{kind}') for kind in ('Image', 'Label', 'Instances')]
    cfg = dict(data_root=str(root), instances='json', split='val2017')
    dataset = SLNPCOCOStuff(pipeline=steps, **cfg)
    (root / 'annotations/instances_val2017.json').unlink()
    sample = dataset[0]
    masks, classes = dataset.source.masks(sample['coco'], sample['img_path'], (24, 32))
    assert classes == [0, 2] and [int(mask.sum()) for mask in masks] == [24 * 8] * 2
    assert dataset.data_list == []  # one serialized block, which workers share
    assert len(SLNPCOCOStuff(pipeline=steps[:2], **cfg)) == 3  # which needs no instances


@pytest.mark.parametrize('content', ['{}[', '[1]', None])
def test_file_that_is_no_coco_json_is_named(tmp_path, content):
    if content:
        (tmp_path / 'a.json').write_text(content)
    words = 'is not a COCO instances file' if content else r'cannot read .*a\.json: No such file'
    with pytest.raises(DataError, match=words):
        read_coco(str(tmp_path / 'a.json'))


def test_missing_pycocotools_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocotools.coco', None)
    with pytest.raises(DataError, match='install it with: pip install pycocotools'):
        coco(tmp_path / 'a.json', [thing()])


@pytest.mark.parametrize('crowd, sizes', [(0, [64, 288]), (1, [64])])
def test_run_lengths_are_a_mask_unless_of_a_crowd(tmp_path, crowd, sizes):
    lengths = dict(size=[24, 32], counts=[24 * 20, 24 * 12])  # the last 12 columns
    masks_of = coco(tmp_path / 'a.json', [thing(), thing(segmentation=lengths, iscrowd=crowd)])
    masks, _ = masks_of('0.jpg')
    assert [mask.sum() for mask in masks] == sizes
    assert masks[-1].any(0).sum() == masks[-1][4].sum()  # upright
    # the pixels of a crowd follow the label
    alone = coco(tmp_path / 'a.json', [thing(), thing(image_id=1, iscrowd=crowd)])('1.jpg')
    assert alone[1] == [0] * (1 - crowd)


def test_objects_that_share_one_id_are_all_kept(tmp_path):
    """cvat 2155: pycocotools keeps the last of them."""
    boxes = [[[x, 4, x + 4, 4, x + 4, 12, x, 12]] for x in (0, 8, 16)]
    things = [thing(id=0, category_id=i + 1, segmentation=box) for i, box in enumerate(boxes)]
    masks, classes = coco(tmp_path / 'a.json', things)('0.jpg')
    assert classes == [0, 1, 2]
    assert [int(np.flatnonzero(mask.any(0))[0]) for mask in masks] == [0, 8, 16]
