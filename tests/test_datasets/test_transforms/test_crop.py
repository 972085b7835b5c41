import numpy as np
import pytest

from slnp_mm.datasets import DataError, SLNPCrop


def sample(shape=(6, 8)):
    grid = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    return dict(
        img=np.repeat(grid[..., None], 3, 2), label=grid, instances=grid[None].astype(np.int16)
    )


def test_centre_crop_takes_the_middle():
    out = SLNPCrop((2, 4), 'centre').transform(sample())
    assert out['label'].tolist() == [[18, 19, 20, 21], [26, 27, 28, 29]]
    assert out['img_shape'] == (2, 4)


def test_random_crop_is_joint_and_repeats_with_the_seed():
    corners = set()
    for seed in range(30):
        np.random.seed(seed)
        out = SLNPCrop(4).transform(sample())
        np.random.seed(seed)
        again = SLNPCrop(4).transform(sample())
        assert (out['label'] == again['label']).all()
        assert (out['img'][..., 0] == out['label']).all()
        assert (out['instances'][0] == out['label']).all()
        corners.add(int(out['label'][0, 0]))
    assert {0, 20} <= corners  # first and last place occur


def test_picture_smaller_than_the_crop_is_named():
    with pytest.raises(DataError, match=r'8x6, smaller than the crop 9x9'):
        SLNPCrop(9).transform(sample())


def test_crop_before_resize_of_a_reduced_picture_is_named():
    data = sample()
    data['img'] = data['img'][::2, ::2]
    with pytest.raises(DataError, match='put SLNPResize before it'):
        SLNPCrop(2).transform(data)


@pytest.mark.parametrize('kwargs', [dict(size=0), dict(size=2, mode='corner')])
def test_bad_settings_are_refused(kwargs):
    with pytest.raises(ValueError, match='got'):
        SLNPCrop(**kwargs)
