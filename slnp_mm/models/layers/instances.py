"""Operations on instances stored as layered id maps.

Each of the K layers of an id map ``ids`` (B, K, H, W) stores an instance index 0..T-1 per pixel, or
-1. The mask P_i is where any layer equals i, and K the largest number of masks that overlap in a
pixel. All costs scale with K and the number of pixels, not with T.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import as_float, exact, lookup


def stride_ids(ids: Tensor, factor: int) -> Tensor:
    """Downsample a label or id map (..., H, W) by taking every ``factor``-th pixel."""
    return ids[..., ::factor, ::factor]


def region_counts(ids: Tensor, grid: tuple, num_slots: int) -> Tensor:
    """Count the pixels of each id in each cell of a regular grid.

    Args:
        ids (Tensor): Id map, (B, K, H, W), int64, -1..num_slots-1.
        grid (tuple[int, int]): Rows and columns (h, w); H and W must be multiples of them.
        num_slots (int): Number of ids, ``T``.

    Returns:
        Tensor: Pixel counts, (B, T, h * w), float32.
    """
    batch, layers, height, width = ids.shape
    rows, cols = grid
    cells = (ids + 1).view(batch, layers, rows, height // rows, cols, width // cols)
    cells = cells.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * cols, -1)
    counts = ids.new_zeros(batch, rows * cols, num_slots + 1, dtype=torch.float32)
    counts.scatter_add_(2, cells, counts.new_ones(()).expand(cells.shape))
    return counts[..., 1:].transpose(1, 2)


def pool_mean(features: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of the features for each instance.

    Args:
        features (Tensor): (B, D, h, w), float.
        weights (Tensor): Weight of each cell for each instance, (B, T, h * w), >= 0; an all-zero
            row gives a zero vector.

    Returns:
        Tensor: (B, T, D), dtype of ``features``.
    """
    return _weighted_sum(features, weights, weights.sum(-1, keepdim=True))


def pool_noise(noise: Tensor, weights: Tensor) -> Tensor:
    """Pool noise over each instance, preserving its variance.

    The weighted sum is divided by the norm of the weights, so that unit-variance noise keeps its
    variance for instances of any size; a mean would shrink it for large ones.

    Source:
        ours: the paper only says that noise and instances are encoded together (1.2.1).

    Args:
        noise (Tensor): (B, D, h, w), float.
        weights (Tensor): (B, T, h * w), >= 0.

    Returns:
        Tensor: (B, T, D), dtype of ``noise``.
    """
    return _weighted_sum(noise, weights, weights.square().sum(-1, keepdim=True).sqrt())


def _weighted_sum(features: Tensor, weights: Tensor, total: Tensor) -> Tensor:
    """Weighted sum over ``total``, in float32: large instances would overflow float16."""
    with exact(features):
        wide = as_float(features.flatten(2).transpose(1, 2))
        sums = torch.bmm(weights.to(wide.dtype), wide)
        return (sums / total.clamp(min=1e-6)).to(features.dtype)


def vector_table(vectors: Tensor) -> Tensor:
    """Stack vectors (B, T, D) to (B * (T + 1), D), with a zero row before each image."""
    return F.pad(vectors, (0, 0, 1, 0)).flatten(0, 1)


def table_rows(ids: Tensor, num_slots: int) -> Tensor:
    """Convert ids to row indices of a :func:`vector_table`.

    At a pixel covered by an instance, empty layers repeat the id of a filled one, so that the
    maximum over layers equals the maximum over the covering instances, Eq. (15).

    Args:
        ids (Tensor): Id map, (B, K, H, W), int64, -1..T-1.
        num_slots (int): Number of ids, ``T``.

    Returns:
        Tensor: (B, K, H, W), int64.
    """
    if ids.shape[1] > 1:
        ids = torch.where(ids < 0, ids.amax(1, keepdim=True), ids)
    first = torch.arange(ids.shape[0], device=ids.device) * (num_slots + 1) + 1
    return ids + first.view(-1, 1, 1, 1)


def gather_vectors(table: Tensor, rows: Tensor) -> Tensor:
    r"""Gather each pixel's instance vector, Eq. (15).

    .. math:: V = \max_{1 \le i \le T} P_i \otimes V^i

    Source:
        paper: SLNP-GAN, Eq. (15).
        ours: the maximum is over the instances that cover the pixel (the text: "if several cover
            one pixel, max-pool them"); taken literally, over all i, the zeros of the others would
            clip every negative entry.

    Args:
        table (Tensor): :func:`vector_table`, (B * (T + 1), D), float.
        rows (Tensor): :func:`table_rows`, (B, K, H, W), int64.

    Returns:
        Tensor: (B, D, H, W), channels-last.
    """
    gathered = lookup(table, rows[:, 0])
    for layer in range(1, rows.shape[1]):
        gathered = torch.maximum(gathered, lookup(table, rows[:, layer]))
    return gathered.permute(0, 3, 1, 2)


def label_map(counts: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Scatter the instances into the binary label map M (paper, 1.2.1).

    Args:
        counts (Tensor): Pixels of each instance per cell, (B, T, N), float32.
        classes (Tensor): Class of each instance, (B, T), int64, 0..L, ``L`` for empty slots.
        num_classes (int): ``L``, number of classes.

    Returns:
        Tensor: M, (B, L, N), float32: 1 where an instance of class k covers any pixel of the cell,
        else 0.
    """
    sums = counts.new_zeros(counts.shape[0], num_classes + 1, counts.shape[2])
    sums.scatter_add_(1, classes[:, :, None].expand(counts.shape), counts)
    return (sums[:, :num_classes] > 0).float()
