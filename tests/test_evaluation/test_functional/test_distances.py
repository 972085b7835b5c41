"""Frechet and kernel distance, diversity."""

import warnings

import numpy as np
import pytest
from scipy import linalg

from slnp_mm.evaluation.functional.distances import (
    feature_statistics,
    frechet_distance,
    kernel_distance,
    pairwise_diversity,
    polynomial_mmd,
)

RNG = np.random.default_rng(0)


def gaussian(mean, cov, count=10**6):
    return np.asarray(mean, float), np.asarray(cov, float), count


def scipy_frechet(real, fake):
    root = linalg.sqrtm(real[1] @ fake[1])
    gap = real[0] - fake[0]
    return (gap @ gap + np.trace(real[1] + fake[1] - 2 * root)).real


FULL = [[2.0, 0.5], [0.5, 1.0]]


@pytest.mark.parametrize(
    'real, fake, distance',
    [
        # equal covariances: the squared gap of the means
        (gaussian([0, 0], FULL), gaussian([3, 4], FULL), 25.0),
        # diagonal ones: the sum of (sqrt(a) - sqrt(b))^2: (1 - 2)^2 + (3 - 1)^2
        (gaussian([0, 0], np.diag([1.0, 9.0])), gaussian([0, 0], np.diag([4.0, 1.0])), 5.0),
    ],
)
def test_frechet_equals_hand_worked_numbers(real, fake, distance):
    assert frechet_distance(real, fake) == pytest.approx(distance, abs=1e-10)


@pytest.mark.parametrize('last', [1.0, 1e-5])
def test_frechet_equals_scipys_matrix_root(last):
    """Well conditioned, and with variances from 1 down to 1e-10."""
    scale = np.geomspace(1, last, 12)
    real = feature_statistics(RNG.normal(size=(400, 12)) * scale)
    fake = feature_statistics(
        RNG.normal(size=(300, 12)) @ RNG.normal(size=(12, 12)) * scale[::-1] + 1
    )
    want = scipy_frechet(real, fake)
    assert frechet_distance(real, fake) == pytest.approx(want, rel=1e-7)


def test_only_fewer_samples_than_dimensions_warn_and_one_set_gives_zero():
    stats = feature_statistics(RNG.normal(size=(5, 64)))
    with pytest.warns(UserWarning, match='5 images for 64 feature dim'):
        assert frechet_distance(stats, stats) == pytest.approx(0, abs=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        frechet_distance(*[feature_statistics(RNG.normal(size=(65, 64)))] * 2)


def test_singular_covariances_equal_scipy_and_the_data_themselves():
    """Both sets of 20 rows in 64 dimensions: rank 19 each.

    The trace of the root is then the sum of the singular values of
    X_r X_g^T / 19, X being the centred rows: no covariance is formed.
    """
    rows_r = RNG.normal(size=(20, 64))
    rows_g = RNG.normal(size=(20, 64)) * 3 + 1
    real, fake = feature_statistics(rows_r), feature_statistics(rows_g)
    with pytest.warns(UserWarning, match='20 images for 64 feature dim'):
        got = frechet_distance(real, fake)
    cross = (rows_r - rows_r.mean(0)) @ (rows_g - rows_g.mean(0)).T / 19
    gap = rows_r.mean(0) - rows_g.mean(0)
    want = gap @ gap + np.trace(real[1]) + np.trace(fake[1])
    want -= 2 * np.linalg.svd(cross, compute_uv=False).sum()
    assert got == pytest.approx(want, rel=1e-6)
    assert got == pytest.approx(scipy_frechet(real, fake), rel=1e-5)


def test_statistics_are_numpys():
    rows = RNG.normal(size=(9, 3))
    mean, cov, count = feature_statistics(rows)
    assert count == 9
    np.testing.assert_allclose(mean, rows.mean(0))
    np.testing.assert_allclose(cov, np.cov(rows, rowvar=False))
    with pytest.raises(ValueError, match='finite features'):
        feature_statistics(np.full((3, 3), np.nan))


def test_mmd_equals_a_plain_double_loop():
    real, fake = RNG.normal(size=(4, 3)), RNG.normal(size=(5, 3)) + 1

    def k(x, y):
        return (sum(a * b for a, b in zip(x, y)) / 3 + 1) ** 3

    want = sum(k(x, y) for i, x in enumerate(real) for j, y in enumerate(real) if i != j) / 12
    want += sum(k(x, y) for i, x in enumerate(fake) for j, y in enumerate(fake) if i != j) / 20
    want -= 2 * sum(k(x, y) for x in real for y in fake) / 20
    assert polynomial_mmd(real, fake) == pytest.approx(want, rel=1e-12)


def test_kernel_distance_takes_whole_sets_once_and_subsets_by_seed():
    real, fake = RNG.normal(size=(30, 4)), RNG.normal(size=(30, 4)) + 2
    assert kernel_distance(real, fake) == (polynomial_mmd(real, fake), 0.0)
    first = kernel_distance(real, fake, subsets=10, subset_size=10)
    assert first == kernel_distance(real, fake, subsets=10, subset_size=10)
    assert first[1] > 0
    assert first[0] == pytest.approx(polynomial_mmd(real, fake), rel=0.3)


def test_diversity_is_the_mean_pairwise_distance():
    # 3-4-5 triangle
    rows = np.array([[0, 0], [3, 0], [0, 4]])
    assert pairwise_diversity(rows) == pytest.approx(4.0)
    assert pairwise_diversity(np.ones((4, 7))) == 0.0
