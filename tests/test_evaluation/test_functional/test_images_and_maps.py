"""Quantising, resizing, class maps and grids."""

import cv2
import numpy as np
import pytest
import torch

from slnp_mm.evaluation.functional.grid import color_attention, color_label, make_grid
from slnp_mm.evaluation.functional.images import resize_image, to_uint8
from slnp_mm.evaluation.metrics.slnp_seg_metric import build_class_map


def test_to_uint8_rounds_clips_and_equals_a_saved_png(tmp_path):
    image = torch.rand(3, 8, 9) * 300 - 20
    got = to_uint8(image)
    want = np.clip(np.rint(image.numpy()), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(got, want.transpose(1, 2, 0))
    cv2.imwrite(str(tmp_path / 'a.png'), got)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'a.png')), got)
    with pytest.raises(ValueError, match=r'shape \(3, H, W\)'):
        to_uint8(torch.zeros(1, 4, 4))


def test_area_resize_is_the_block_mean():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    got = resize_image(image, (2, 2), 'area')
    want = image.reshape(2, 2, 2, 2, 3).mean(axis=(1, 3))
    assert np.abs(got - want).max() <= 0.5
    assert resize_image(image, (4, 4), 'nearest') is image


def test_class_map_table():
    table = build_class_map([1, 255], 2, 2)
    assert table[torch.tensor([[0, 1], [255, 0]])].tolist() == [[1, 255], [255, 1]]
    assert build_class_map(None, 3, 3) is None


@pytest.mark.parametrize(
    'args, text',
    [
        ((None, 3, 4), 'scorer has 4 classes, the data set 3'),
        (([0], 2, 4), 'class map with 2 entries'),
        (([0, 7], 2, 4), r'scorer ids 0\.\.3 or 255 in the class map, got 7'),
    ],
)
def test_class_map_errors(args, text):
    with pytest.raises(ValueError, match=text):
        build_class_map(*args)


def test_color_label_paints_unlabelled_black():
    got = color_label(np.array([[0, 1, 255]]), [[1, 2, 3], [4, 5, 6]])
    assert got.tolist() == [[[1, 2, 3], [4, 5, 6], [0, 0, 0]]]


def test_color_attention_shows_the_strongest_instances_class():
    weights = np.array([[[0.2, 0.8], [0.5, 0.1]]])
    palette = [[100, 0, 0], [0, 100, 0]]
    got = color_attention(weights, np.array([0, 1]), palette, (2, 4))
    assert got.shape == (2, 4, 3)
    assert got[0, 0].tolist() == [0, 80, 0]
    assert got[0, 3].tolist() == [50, 0, 0]


def test_grid_places_pictures_keeps_pixels_and_puts_titles_above():
    small = np.zeros((2, 2, 3), np.uint8)
    small[0, 0] = 200
    big = np.full((128, 128, 3), 90, np.uint8)
    grid = make_grid([[small, big], [big, small]], gap=4)
    assert grid.shape == (4 + 2 * 132, 4 + 2 * 132, 3)
    assert (grid[4:68, 4:68] == 200).all() and (grid[68:132, 4:68] == 0).all()
    assert (grid[4:132, 136:264] == 90).all()
    titled = make_grid([[small, big], [big, small]], ['a very long column title', 'b'], gap=4)
    head = titled.shape[0] - grid.shape[0]
    assert head > 0 and (titled[:head] < 200).any()
