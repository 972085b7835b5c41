import numpy as np
import pytest

from slnp_mm.datasets.instances import (
    Instances,
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


def test_ids_take_the_majority_label():
    raw = np.uint16([[7] * 12 + [900] * 3])
    label = np.uint8([[4] * 11 + [5] + [2] * 3])  # one sliver of class 5
    found = keep_largest(from_ids(raw, label), 9, 'a')
    assert found.classes.tolist() == [4, 2]
    assert (found.layers[0, 0] == [0] * 12 + [1] * 3).all()


def test_id_used_by_two_classes_becomes_two_instances():
    raw = np.uint8([[3] * 10])
    label = np.uint8([[1] * 6 + [8] * 4])
    found = keep_largest(from_ids(raw, label), 9, 'a')
    assert found.classes.tolist() == [1, 8]


def test_id_over_unlabelled_pixels_only_is_dropped():
    raw, label = np.uint8([[1, 2, 2]]), np.uint8([[0, 255, 255]])
    found = keep_largest(from_ids(raw, label), 9, 'a')
    assert found.classes.tolist() == [0]
    assert found.layers[0].tolist() == [[0, -1, -1]]
    # nothing but background on nothing labelled
    found = keep_largest(from_ids(raw, np.full_like(label, 255), [1, 2]), 9, 'a')
    assert found.classes.size == 0 and (found.layers == -1).all()


def test_photograph_as_id_map_is_named():
    raw = np.arange(200 * 200, dtype=np.int32).reshape(200, 200)
    with pytest.raises(DataError, match=r'p\.png has 40000 .*photograph'):
        from_ids(raw, np.zeros((200, 200), np.uint8), path='p.png')


def test_background_id_gives_one_instance_a_class():
    raw = np.uint16([[0, 0, 0, 26001, 26002, 0]])
    label = np.uint8([[1, 2, 2, 5, 5, 1]])
    found = keep_largest(from_ids(raw, label, background=[0]), 9, 'a')
    assert sorted(found.classes.tolist()) == [1, 2, 5, 5]
    ids = found.layers[0, 0]
    assert ids[0] == ids[5] and ids[1] == ids[2] and ids[3] != ids[4]
    # several background ids of one class are joined
    raw = np.uint8([[3, 4, 4, 200]])
    found = keep_largest(from_ids(raw, np.uint8([[1, 1, 1, 1]]), [3, 4]), 9, 'a')
    assert found.layers[0].tolist() == [[0, 0, 0, 1]]


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


def test_by_area_of_nothing_is_empty():
    found = by_area(np.full((1, 2, 2), -1), np.zeros(0, np.int16))
    assert found.classes.size == 0 and (found.layers == -1).all()
