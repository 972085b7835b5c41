"""Distances between feature sets, and the diversity of one."""

import warnings

import numpy as np
import torch

from ...errors import SLNPError

Statistics = tuple[np.ndarray, np.ndarray, int]


def feature_statistics(features: np.ndarray) -> Statistics:
    """Mean (D,), covariance (D, D) with N - 1, both float64, and N of features, (N, D), N >= 2.

    Raises:
        SLNPError: If a value is not finite.
    """
    features = np.asarray(features, dtype=np.float64)
    if not np.isfinite(features).all():
        raise SLNPError('Expected finite features, got NaN or inf.')
    mean = features.mean(axis=0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1), len(features)


def frechet_distance(real: Statistics, fake: Statistics) -> float:
    """Squared Frechet distance of two Gaussians, >= 0.

    .. math:: |m_r - m_g|^2 + Tr(C_r + C_g - 2 (C_r C_g)^{1/2})

    Source:
        paper: Eq. (25). It prints the norm of the means without the square; FID squares it
            everywhere, and so does this function.
        reference: Dowson and Landau (1982); Heusel et al., arXiv:1706.08500.
        ours: the trace of the root comes from the eigenvalues of the symmetric :math:`C_r^{1/2} C_g
            C_r^{1/2}`. This needs no matrix root of a product, so it stays real and finite for
            singular covariances, where scipy's ``sqrtm`` can fail; nothing is added to the
            diagonal.
    """
    (mean_r, cov_r, num_r), (mean_g, cov_g, num_g) = real, fake
    count, dims = min(num_r, num_g), len(mean_r)
    if count <= dims:
        warnings.warn(
            f'{count} images for {dims} feature dimensions: the covariance is singular and the '
            'Frechet distance is biased upwards; compare only with figures of the same count.',
            stacklevel=2,
        )
    values, vectors = np.linalg.eigh((cov_r + cov_r.T) / 2)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = root @ cov_g @ root
    inner = np.linalg.eigvalsh((product + product.T) / 2)
    trace_root = np.sqrt(np.clip(inner, 0, None)).sum()
    gap = mean_r - mean_g
    distance = gap @ gap + np.trace(cov_r) + np.trace(cov_g) - 2 * trace_root
    return max(float(distance), 0.0)


def polynomial_mmd(real: np.ndarray, fake: np.ndarray) -> float:
    r"""Unbiased squared MMD of (N, D) and (M, D), N, M >= 2; it may be negative.

    The kernel is :math:`(x \cdot y / D + 1)^3`.

    Source:
        reference: Binkowski et al., arXiv:1801.01401, Eq. (4).
    """
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    n, m, dims = len(real), len(fake), real.shape[1]
    rr = (real @ real.T / dims + 1) ** 3
    ff = (fake @ fake.T / dims + 1) ** 3
    rf = (real @ fake.T / dims + 1) ** 3
    return float(
        (rr.sum() - np.trace(rr)) / (n * (n - 1))
        + (ff.sum() - np.trace(ff)) / (m * (m - 1))
        - 2 * rf.mean()
    )


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation of the MMD over random subsets of (N, D) and (M, D).

    ``subset_size`` is at most the smaller set; if it covers both sets, there is one subset.
    """
    size = min(subset_size, len(real), len(fake))
    if size == len(real) == len(fake):
        return polynomial_mmd(real, fake), 0.0
    rng = np.random.default_rng(seed)
    values = [
        polynomial_mmd(
            real[rng.choice(len(real), size, replace=False)],
            fake[rng.choice(len(fake), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def pairwise_diversity(features: np.ndarray) -> float:
    """Mean Euclidean distance between a label's images: (K, D), one row per noise, K >= 2."""
    return float(torch.pdist(torch.as_tensor(np.asarray(features, np.float64))).mean())
