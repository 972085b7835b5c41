import cv2
import numpy as np
import pytest

from slnp_mm.datasets import DataError, SLNPFlip, SLNPLoadInstances, SLNPPackInputs, SLNPResize


def sample(shape, image_shape=None):
    rng = np.random.default_rng(0)
    return dict(
        img=rng.integers(0, 255, (*(image_shape or shape), 3), np.uint8),
        label=rng.integers(0, 9, shape).astype(np.uint8) * 20,
        instances=rng.integers(-1, 3, (2, *shape)).astype(np.int16),
    )


def numbered(shape):
    """A sample whose picture, label and instances all hold the number of each pixel."""
    grid = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    layers = np.stack([grid, grid]).astype(np.int16)
    return dict(img=np.repeat(grid[..., None], 3, 2), label=grid, instances=layers)


def assert_joint(out):
    assert (out['img'] == out['label'][..., None]).all()
    assert (out['instances'] == out['label']).all()


@pytest.mark.parametrize(
    'kind, kwargs, words',
    [
        (SLNPResize, dict(size=0), 'got 0'),
        (SLNPResize, dict(size=(1, 2, 3)), r'got \(1, 2, 3\)'),
        (SLNPFlip, dict(prob=1.5), r'0\.\.1, got 1\.5'),
        (SLNPLoadInstances, dict(max_instances=0), 'got 0'),
        (SLNPLoadInstances, dict(max_overlap=0), 'got 0'),
        (SLNPPackInputs, dict(keys=['gt']), r"got \['gt'\]"),
    ],
)
def test_bad_settings_are_refused(kind, kwargs, words):
    with pytest.raises(ValueError, match=words):
        kind(**kwargs)


# size


@pytest.mark.parametrize('size, expected', [(16, (16, 16)), ((8, 20), (8, 20))])
def test_size_is_one_side_or_both(size, expected):
    out = SLNPResize(size).transform(sample((24, 32)))
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


def test_reduced_decoding_fits_its_label_again_and_makes_no_detail_up():
    data = dict(sample((48, 64), (24, 32)), img_reduced=2, img_path='a.jpg')
    out = SLNPResize(16).transform(dict(data))
    assert out['img'].shape[:2] == out['label'].shape == (16, 16)
    with pytest.raises(DataError, match='30x30, but a.jpg was decoded at 32x24 .*set image_size'):
        SLNPResize(30).transform(data)
    with pytest.raises(DataError, match='set image_size of the dataset'):
        SLNPResize().transform(data)


# mirror


def test_flip_mirrors_all_three_or_changes_nothing():
    for prob, label in ((1.0, [[2, 1, 0], [5, 4, 3]]), (0.0, [[0, 1, 2], [3, 4, 5]])):
        out = SLNPFlip(prob).transform(numbered((2, 3)))
        assert out['label'].tolist() == label and out['flip'] is bool(prob)
        assert_joint(out)


def test_flip_happens_about_as_often_as_asked():
    np.random.seed(0)
    times = sum(SLNPFlip(0.3).transform(numbered((2, 3)))['flip'] for _ in range(1000))
    assert 250 < times < 350
