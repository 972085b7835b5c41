"""How much instances change, apart from the overall tone of the image."""

from collections.abc import Sequence

import numpy as np

from ...errors import SLNPError
from .distances import pairwise_diversity


def instance_colors(image: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Mean color of each instance relative to the mean of the image, (H, W, 3), 0..255.

    ``ids`` are layers, (K, H, W), integer, -1 for none; an instance may be in several layers.

    Returns:
        np.ndarray: (M, 3) float64, grey levels, one row per id that occurs, ascending.

    Raises:
        SLNPError: If image and ids differ in height or width.
    """
    if image.shape[:2] != ids.shape[1:]:
        raise SLNPError(
            f'Expected instance ids of the size {image.shape[:2]} of the image, got '
            f'{tuple(ids.shape[1:])}.'
        )
    pixels = np.asarray(image, np.float64).reshape(-1, 3)
    pixels = pixels - pixels.mean(0)
    layers = np.asarray(ids).reshape(len(ids), -1)
    found = np.unique(layers[layers >= 0])
    rows = [pixels[(layers == index).any(0)].mean(0) for index in found]
    return np.asarray(rows, np.float64).reshape(-1, 3)


def instance_diversity(images: Sequence[np.ndarray], ids: np.ndarray) -> list[float]:
    """Mean distance of each instance's color between images of one label.

    The image's mean color is subtracted first, so that a change of the overall tone does not count,
    unless it clips at black or white. The distance is the root mean square over the three channels:
    a grey instance that gets g levels brighter than its image counts g.

    Source:
        ours: noise should change instances, not only the whole image.

    Args:
        images (Sequence[np.ndarray]): K images of one label, K >= 2, (H, W, 3) each, 0..255.
        ids (np.ndarray): See :func:`instance_colors`.

    Returns:
        list[float]: One per instance, mean over the K (K - 1) / 2 pairs, grey levels of 0..255.
    """
    colors = np.stack([instance_colors(image, ids) for image in images], 1)
    return [pairwise_diversity(rows) / 3**0.5 for rows in colors]
