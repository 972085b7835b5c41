"""Kernel distance (KID's arithmetic)."""

import numpy as np


def polynomial_mmd(real: np.ndarray, fake: np.ndarray) -> float:
    r"""Unbiased squared MMD with the kernel :math:`(x \cdot y / D + 1)^3`.

    Source:
        reference: Binkowski et al., arXiv:1801.01401, Eq. (4).

    Args:
        real (np.ndarray): (N, D), N >= 2.
        fake (np.ndarray): (M, D), M >= 2.

    Returns:
        float: May be slightly negative, being unbiased.

    Raises:
        ValueError: If a set is too small or the dimensions differ.
    """
    real = np.asarray(real, np.float64)
    fake = np.asarray(fake, np.float64)
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f'Expected features (N, D) and (M, D), got {real.shape} and {fake.shape}.')
    n, m, dims = len(real), len(fake), real.shape[1]
    if min(n, m) < 2:
        raise ValueError(f'Expected at least 2 images a set, got {n} and {m}.')
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
    """Mean and spread of the MMD over random subsets.

    Args:
        real (np.ndarray): (N, D) features.
        fake (np.ndarray): (M, D) features.
        subsets (int): Number of subsets. Defaults to 100.
        subset_size (int): Images in one; at most the smaller set. When it is the whole of both
            sets, one subset is taken. Defaults to 1000.
        seed (int): Of the draw. Defaults to 0.

    Returns:
        Tuple[float, float]: Mean, standard deviation.
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
