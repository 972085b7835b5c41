import cv2
import numpy as np
import pytest

from slnp_mm.datasets import DataError, SLNPResize


def sample(shape, image_shape=None):
    rng = np.random.default_rng(0)
    return dict(
        img=rng.integers(0, 255, (*(image_shape or shape), 3), np.uint8),
        label=rng.integers(0, 9, shape).astype(np.uint8) * 20,
        instances=rng.integers(-1, 3, (2, *shape)).astype(np.int16),
    )


@pytest.mark.parametrize(
    'size, mode, shape, expected',
    [
        (16, 'square', (24, 32), (16, 16)),
        ((8, 20), 'square', (24, 32), (8, 20)),
        (16, 'short_side', (24, 32), (16, 21)),
        (16, 'short_side', (32, 24), (21, 16)),
        (48, 'short_side', (24, 32), (48, 64)),
        (24, 'short_side', (24, 24), (24, 24)),
    ],
)
def test_size_follows_the_mode(size, mode, shape, expected):
    out = SLNPResize(size, mode).transform(sample(shape))
    assert out['img'].shape == (*expected, 3) and out['img_shape'] == expected
    assert out['label'].shape == expected
    assert out['instances'].shape == (2, *expected)


@pytest.mark.parametrize('size', [7, 16, 31, 64])
def test_no_id_is_invented_and_all_share_one_geometry(size):
    data = sample((24, 32))
    data['instances'][0] = data['label']
    before = set(np.unique(data['label']))
    out = SLNPResize(size).transform(data)
    assert set(np.unique(out['label'])) <= before
    assert (out['instances'][0] == out['label']).all()


def test_halving_takes_means_of_blocks_and_keeps_ids_of_pixels():
    data = sample((8, 8))
    image, label = data['img'].copy(), data['label'].copy()
    out = SLNPResize(4).transform(data)
    mean = image.reshape(4, 2, 4, 2, 3).mean((1, 3))
    assert np.abs(out['img'] - mean).max() <= 0.5
    assert (out['label'] == label[1::2, 1::2]).all()


def test_shrinking_is_close_to_opencvs_area_filter():
    rng = np.random.default_rng(0)
    image = cv2.resize(
        rng.integers(0, 255, (60, 80, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC
    )
    out = SLNPResize(256).transform(dict(img=image))['img'].astype(float)
    area = cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA)
    assert np.sqrt(((out - area) ** 2).mean()) < 1.0  # grey levels


def test_growing_is_bicubic():
    image = sample((8, 8))['img']
    out = SLNPResize(20).transform(dict(img=image))['img']
    cubic = cv2.resize(image, (20, 20), interpolation=cv2.INTER_CUBIC)
    assert (out == cubic).all()


def test_picture_decoded_smaller_than_its_label_fits_again():
    out = SLNPResize(16).transform(sample((48, 64), (24, 32)))
    assert out['img'].shape[:2] == out['label'].shape == (16, 16)


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(size=8, mode='long'), "got 'long'"),
        (dict(size=0), 'got 0'),
        (dict(size=(1, 2, 3)), r'got \(1, 2, 3\)'),
        (dict(size=(4, 4), mode='short_side'), 'one length'),
    ],
)
def test_bad_settings_are_refused(kwargs, words):
    with pytest.raises(ValueError, match=words):
        SLNPResize(**kwargs)


def test_detail_lost_in_reduced_decoding_is_not_made_up():
    data = sample((48, 64), (24, 32))
    data['img_reduced'] = 2
    with pytest.raises(DataError, match='give decode_size of SLNPLoadImage'):
        SLNPResize(30).transform(data)


def test_missing_size_is_named():
    with pytest.raises(DataError, match='set image_size of the dataset'):
        SLNPResize().transform(sample((4, 4)))
