import numpy as np
import pytest

from slnp_mm.datasets import SLNPFlip


def sample():
    grid = np.arange(6, dtype=np.uint8).reshape(2, 3)
    return dict(
        img=np.repeat(grid[..., None], 3, 2),
        label=grid,
        instances=np.stack([grid, grid]).astype(np.int16),
    )


def test_flip_mirrors_all_three():
    out = SLNPFlip(1.0).transform(sample())
    assert out['label'].tolist() == [[2, 1, 0], [5, 4, 3]] and out['flip']
    assert (out['img'][..., 1] == out['label']).all()
    assert (out['instances'] == out['label']).all()


def test_flip_of_probability_zero_changes_nothing():
    out = SLNPFlip(0.0).transform(sample())
    assert out['label'].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert out['flip'] is False


def test_flip_happens_about_as_often_as_asked():
    np.random.seed(0)
    times = sum(SLNPFlip(0.3).transform(sample())['flip'] for _ in range(1000))
    assert 250 < times < 350


def test_bad_probability_is_refused():
    with pytest.raises(ValueError, match=r'0\.\.1, got 1\.5'):
        SLNPFlip(1.5)
