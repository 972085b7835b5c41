"""Frechet distance of two Gaussians, and the statistics it needs."""

import warnings

import numpy as np

Statistics = tuple[np.ndarray, np.ndarray, int]


def feature_statistics(features: np.ndarray) -> Statistics:
    """Mean and covariance of features.

    Args:
        features (np.ndarray): (N, D) float, N >= 2.

    Returns:
        Statistics: Mean (D,), covariance (D, D) with N - 1 in the denominator, both float64, and N.

    Raises:
        ValueError: If there are fewer than two rows, or a value is not finite.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(
            f'Expected features of shape (N, D) with N >= 2, got shape {features.shape}.'
        )
    if not np.isfinite(features).all():
        raise ValueError('Expected finite features, got NaN or inf.')
    mean = features.mean(axis=0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1), len(features)


def frechet_distance(real: Statistics, fake: Statistics) -> float:
    r"""Squared Frechet distance of two Gaussians.

    .. math:: |m_r - m_g|^2 + Tr(C_r + C_g - 2 (C_r C_g)^{1/2})

    Source:
        paper: Eq. (25). It prints the norm of the means without the square;
            the square is what FID is everywhere, so it is taken here.
        reference: Dowson and Landau (1982); Heusel et al., arXiv:1706.08500.
        ours: the trace of the root is taken from the eigenvalues of the symmetric :math:`C_r^{1/2}
            C_g C_r^{1/2}`. It needs no matrix root of a product, so it stays real and finite for
            singular covariances, where scipy's ``sqrtm`` can fail; nothing is added to the
            diagonal.

    Args:
        real (Statistics): Mean (D,), covariance (D, D), count.
        fake (Statistics): The same of the other set.

    Returns:
        float: >= 0; negative rounding noise is cut off.

    Raises:
        ValueError: If the dimensions differ.
    """
    (mean_r, cov_r, num_r), (mean_g, cov_g, num_g) = real, fake
    if mean_r.shape != mean_g.shape or cov_r.shape != cov_g.shape:
        raise ValueError(f'Expected statistics of one size, got {mean_r.shape} and {mean_g.shape}.')
    warn_few(min(num_r, num_g), len(mean_r))
    values, vectors = np.linalg.eigh(_symmetric(cov_r))
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    inner = np.linalg.eigvalsh(_symmetric(root @ cov_g @ root))
    trace_root = np.sqrt(np.clip(inner, 0, None)).sum()
    gap = mean_r - mean_g
    distance = gap @ gap + np.trace(cov_r) + np.trace(cov_g) - 2 * trace_root
    return max(float(distance), 0.0)


def warn_few(count: int, dims: int) -> None:
    """Warn when a covariance cannot have full rank."""
    if count <= dims:
        warnings.warn(
            f'{count} images for {dims} feature dimensions: the covariance is singular and the '
            'Frechet distance is biased upwards; compare only with figures of the same count.',
            stacklevel=3,
        )


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2
