"""How much instances change apart from the tone of the whole picture."""

from collections.abc import Sequence

import numpy as np

from ...errors import SLNPError
from .distances import pairwise_diversity


def instance_colors(image: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Mean color of each instance, without the picture's own mean.

    Args:
        image (np.ndarray): (H, W, 3), 0..255.
        ids (np.ndarray): Layered instance ids, (K, H, W), integer, -1 for none; an instance may lie
            in several layers.

    Returns:
        np.ndarray: (M, 3) float64, grey levels, one row an id that occurs, ascending.

    Raises:
        SLNPError: If picture and ids differ in height or width.
    """
    if image.shape[:2] != ids.shape[1:]:
        raise SLNPError(
            f'Expected instance ids of the size {image.shape[:2]} of the '
            f'picture, got {tuple(ids.shape[1:])}.'
        )
    pixels = np.asarray(image, np.float64).reshape(-1, 3)
    pixels = pixels - pixels.mean(0)
    layers = np.asarray(ids).reshape(len(ids), -1)
    found = np.unique(layers[layers >= 0])
    rows = [pixels[(layers == index).any(0)].mean(0) for index in found]
    return np.asarray(rows, np.float64).reshape(-1, 3)


def instance_diversity(images: Sequence[np.ndarray], ids: np.ndarray) -> list[float]:
    """Mean distance of each instance's color between pictures of one label.

    The picture's mean color is taken off first, so that a change of the global tone counts nothing,
    unless it clips at black or white. What is left is the root of the mean square over the three
    channels: a grey instance that turns g levels brighter against its picture counts g.

    Source:
        ours: noises should change instances, not only the whole picture.

    Args:
        images (Sequence[np.ndarray]): K pictures of one label, K >= 2, (H, W, 3) each, 0..255.
        ids (np.ndarray): See :func:`instance_colors`.

    Returns:
        list[float]: One an instance, mean over the K (K - 1) / 2 pairs, grey levels of 0..255.
    """
    colors = np.stack([instance_colors(image, ids) for image in images], 1)
    return [pairwise_diversity(rows) / 3**0.5 for rows in colors]
