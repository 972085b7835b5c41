"""Arithmetic on instances given as layered id maps.

An id map ``ids`` (B, K, H, W) holds in each of its K layers the instance index 0..T-1 of a pixel or
-1; the mask P_i is where any layer holds i. K is the greatest number of masks that overlap in a
pixel. All costs grow with K and the number of pixels, not with T.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import as_float, exact, lookup


def stride_ids(ids: Tensor, factor: int) -> Tensor:
    """Take every ``factor``-th pixel in both directions (nearest resize).

    Args:
        ids (Tensor): Label or id map, (..., H, W), int64.
        factor (int): Step in pixels, >= 1.

    Returns:
        Tensor: (..., H / factor, W / factor), int64.
    """
    return ids[..., ::factor, ::factor]


def region_counts(ids: Tensor, grid: tuple, num_slots: int) -> Tensor:
    """Count the pixels of every id in every cell of a regular grid.

    Args:
        ids (Tensor): Id map, (B, K, H, W), int64, -1..num_slots-1.
        grid (tuple[int, int]): Rows and columns (h, w) of the grid; H and W
            must be multiples of them.
        num_slots (int): Number of ids, ``T``.

    Returns:
        Tensor: Pixel counts, (B, T, h * w), float32, >= 0.
    """
    batch, layers, height, width = ids.shape
    rows, cols = grid
    cells = (ids + 1).view(batch, layers, rows, height // rows, cols, width // cols)
    cells = cells.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * cols, -1)
    counts = ids.new_zeros(batch, rows * cols, num_slots + 1, dtype=torch.float32)
    counts.scatter_add_(2, cells, counts.new_ones(()).expand(cells.shape))
    return counts[..., 1:].transpose(1, 2)


def pool_mean(features: Tensor, weights: Tensor) -> Tensor:
    """Average the features of the cells that each instance weighs.

    Args:
        features (Tensor): (B, D, h, w), float.
        weights (Tensor): Weight of a cell for an instance, (B, T, h * w),
            >= 0; an all-zero row gives a zero vector.

    Returns:
        Tensor: (B, T, D), dtype of ``features``.
    """
    return _weighted_sum(features, weights, weights.sum(-1, keepdim=True))


def pool_noise(noise: Tensor, weights: Tensor) -> Tensor:
    """Pool noise over each instance and keep its variance.

    The weighted sum is divided by the root of the summed squared weights, so that unit-variance
    noise stays so whatever the size of the instance; a mean would silence large instances.

    Source:
        ours: the paper says only that noise and instances are encoded together (1.2.1).

    Args:
        noise (Tensor): (B, D, h, w), float.
        weights (Tensor): (B, T, h * w), >= 0.

    Returns:
        Tensor: (B, T, D), dtype of ``noise``.
    """
    return _weighted_sum(noise, weights, weights.square().sum(-1, keepdim=True).sqrt())


def _weighted_sum(features: Tensor, weights: Tensor, total: Tensor) -> Tensor:
    """Weighted sum over the cells by ``total``; a large instance would overflow float16."""
    with exact(features):
        wide = as_float(features.flatten(2).transpose(1, 2))
        sums = torch.bmm(weights.to(wide.dtype), wide)
        return (sums / total.clamp(min=1e-6)).to(features.dtype)


def vector_table(vectors: Tensor) -> Tensor:
    """Put the vectors of a batch one below the other, zeros before each image's own.

    Args:
        vectors (Tensor): One vector an instance, (B, T, D), float.

    Returns:
        Tensor: (B * (T + 1), D).
    """
    return F.pad(vectors, (0, 0, 1, 0)).flatten(0, 1)


def table_rows(ids: Tensor, num_slots: int) -> Tensor:
    """Turn ids into rows of a :func:`vector_table`.

    Where one layer covers a pixel, a layer that does not takes the row of one that does: the
    maximum over the layers, Eq. (15), is then that over the instances which cover the pixel.

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
    r"""Gather the vector of its instance for each pixel, Eq. (15).

    .. math:: V = \max_{1 \le i \le T} P_i \otimes V^i

    Source:
        paper: SLNP-GAN, Eq. (15).
        ours: the maximum is taken over the instances that cover the pixel (the text: "if several
            cover one pixel, max-pool them"); taken over all i literally, the zeros of the others
            would clip every negative entry.

    Args:
        table (Tensor): :func:`vector_table`, (B * (T + 1), D), float.
        rows (Tensor): :func:`table_rows`, (B, K, H, W), int64.

    Returns:
        Tensor: (B, D, H, W). Its memory format is channels-last.
    """
    gathered = lookup(table, rows[:, 0])
    for layer in range(1, rows.shape[1]):
        gathered = torch.maximum(gathered, lookup(table, rows[:, layer]))
    return gathered.permute(0, 3, 1, 2)


def label_map(counts: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Gather the instances into the binary label map M (paper, 1.2.1).

    Args:
        counts (Tensor): Pixels of an instance in a cell, (B, T, N), float32.
        classes (Tensor): Class of each instance, (B, T), int64, 0..L, ``L`` for an empty slot.
        num_classes (int): ``L``, number of classes.

    Returns:
        Tensor: M, (B, L, N), float32, 1 where an instance of class k covers (any pixel of) the
        cell, else 0.
    """
    sums = counts.new_zeros(counts.shape[0], num_classes + 1, counts.shape[2])
    sums.scatter_add_(1, classes[:, :, None].expand(counts.shape), counts)
    return (sums[:, :num_classes] > 0).float()
