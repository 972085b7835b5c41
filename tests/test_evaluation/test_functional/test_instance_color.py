"""Diversity of instances by hand and by loops."""

import numpy as np
import pytest

from slnp_mm.evaluation.functional.instance_color import instance_colors, instance_diversity

HALVES = np.array([[[0, 1], [0, 1]]])  # one layer: left, right


def grey(left, right):
    """(2, 2, 3) picture of a grey left and right half."""
    row = [[left] * 3, [right] * 3]
    return np.array([row, row], np.uint8)


@pytest.mark.parametrize(
    'pictures, ids, values',
    [
        # 100 and 0 against 0 and 100: each half moves from +-50 to -+50
        ([grey(100, 0), grey(0, 100)], HALVES, [100, 100]),
        # left minus mean is 50, 0, -50: pairs differ by 50, 100 and 50
        ([grey(100, 0), grey(50, 50), grey(0, 100)], HALVES, [200 / 3, 200 / 3]),
        # a change of the global tone, and one instance over the picture, count nothing
        ([grey(0, 40), grey(200, 240), grey(7, 47)], HALVES, [0, 0]),
        ([grey(0, 9), grey(90, 3)], np.zeros((1, 2, 2), int), [0]),
        ([grey(0, 9), grey(90, 3)], np.full((2, 2, 2), -1), []),
    ],
)
def test_instances_move_by_hand_worked_distances(pictures, ids, values):
    assert instance_diversity(pictures, ids) == pytest.approx(values)


def test_ids_of_another_size_are_refused():
    words = r'Expected instance ids of the size \(2, 2\) of the image, got \(3, 2\)\.'
    with pytest.raises(ValueError, match=words):
        instance_colors(grey(0, 9), np.zeros((1, 3, 2), int))


def test_layers_overlap_as_in_a_loop():
    rng = np.random.default_rng(0)
    ids = rng.integers(-1, 4, (2, 5, 6))
    image = rng.integers(0, 256, (5, 6, 3)).astype(np.uint8)
    mean = [image[..., c].mean() for c in range(3)]
    for index, row in enumerate(instance_colors(image, ids)):
        for c in range(3):
            values = [
                float(image[y, x, c]) for y in range(5) for x in range(6) if index in ids[:, y, x]
            ]
            want = sum(values) / len(values) - mean[c]
            assert row[c] == pytest.approx(want)
