"""Spread and overlap of feature sets."""

import numpy as np
import torch


def pairwise_diversity(features: np.ndarray) -> float:
    """Mean distance between the images made from one label.

    Args:
        features (np.ndarray): (K, D), one row a noise, K >= 2.

    Returns:
        float: Mean Euclidean distance over the K (K - 1) / 2 pairs; 0 when
        the noise changes nothing.

    Raises:
        ValueError: If there are fewer than two rows.
    """
    rows = torch.as_tensor(np.asarray(features, np.float64))
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f'Expected at least 2 images of one label, got shape {tuple(rows.shape)}.')
    return float(torch.pdist(rows).mean())


def precision_recall(
    real: np.ndarray, fake: np.ndarray, neighbours: int = 3
) -> tuple[float, float]:
    """Improved precision and recall by mmagic's distance code.

    Source:
        reference: Kynkaanniemi et al., arXiv:1904.06991; distances by mmagic 1.2
            ``compute_pr_distances``. mmagic keeps the radii in half precision; float32 is kept
            here, so that a point lies in the manifold of its own set.

    Args:
        real (np.ndarray): (N, D), N > ``neighbours``.
        fake (np.ndarray): (M, D), M > ``neighbours``.
        neighbours (int): Which nearest neighbour gives the radius. Defaults to 3.

    Returns:
        Tuple[float, float]: Share of fake images inside the real manifold,
        share of real images inside the fake one, 0..1.

    Raises:
        ValueError: If a set is not larger than ``neighbours``.
    """
    from mmagic.evaluation.metrics.precision_and_recall import compute_pr_distances

    sets = [torch.as_tensor(np.asarray(s, np.float32)) for s in (real, fake)]
    if min(map(len, sets)) <= neighbours:
        raise ValueError(
            f'Expected more than {neighbours} images a set, got {len(real)} and {len(fake)}.'
        )
    shares = []
    for manifold, probes in (sets, sets[::-1]):
        own = compute_pr_distances(manifold, manifold)
        radius = own.fill_diagonal_(0).kthvalue(neighbours + 1, dim=1).values
        inside = compute_pr_distances(probes, manifold) <= radius
        shares.append(float(inside.any(dim=1).float().mean()))
    return shares[0], shares[1]
