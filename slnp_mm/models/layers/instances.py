"""Arithmetic on instances given as layered id maps.

An id map ``ids`` (B, K, H, W) holds in each of its K layers the instance index 0..T-1 of a pixel or
-1; the mask P_i is where any layer holds i. K is the greatest number of masks that overlap in a
pixel. All costs grow with K and the number of pixels, not with T.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import exact, lookup


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
    row = torch.arange(height, device=ids.device) // (height // rows)
    col = torch.arange(width, device=ids.device) // (width // cols)
    cell = row[:, None] * cols + col
    index = (ids + 1) * (rows * cols) + cell
    counts = ids.new_zeros(batch, (num_slots + 1) * rows * cols, dtype=torch.float32)
    ones = counts.new_ones(1).expand(batch, layers * height * width)
    counts.scatter_add_(1, index.flatten(1), ones)
    return counts.view(batch, num_slots + 1, rows * cols)[:, 1:]


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
        kind = torch.promote_types(features.dtype, weights.dtype)
        sums = weights.to(kind) @ features.flatten(2).transpose(1, 2).to(kind)
        return (sums / total.clamp(min=1e-6)).to(features.dtype)


def place(vectors: Tensor, ids: Tensor, empty: float = 0.0) -> Tensor:
    r"""Write each instance's vector on its pixels, Eq. (15).

    .. math:: V = \max_{1 \le i \le T} P_i \otimes V^i

    Source:
        paper: SLNP-GAN, Eq. (15).
        ours: the maximum is taken over the instances that cover the pixel (the text: "if several
            cover one pixel, max-pool them"); taken over all i literally, the zeros of the others
            would clip every negative entry.

    Args:
        vectors (Tensor): One vector an instance, (B, T, D), float.
        ids (Tensor): Id map, (B, K, H, W), int64, -1..T-1.
        empty (float): Value of pixels that no instance covers. Defaults to 0.

    Returns:
        Tensor: (B, D, H, W). Its memory format is channels-last.
    """
    batch, slots, _ = vectors.shape
    offset = torch.arange(batch, device=ids.device) * (slots + 1)
    rows = F.pad(vectors, (0, 0, 1, 0), value=empty).flatten(0, 1)
    placed = None
    covered = None
    for layer in ids.unbind(1):
        values = lookup(rows, layer + 1 + offset[:, None, None])
        here = (layer >= 0)[..., None]
        if placed is None:
            placed, covered = values, here
            continue
        both = torch.maximum(placed, values)
        placed = torch.where(here & covered, both, torch.where(here, values, placed))
        covered = covered | here
    return placed.permute(0, 3, 1, 2)


def class_layers(ids: Tensor, instance_labels: Tensor) -> Tensor:
    """Replace instance ids by their classes.

    Args:
        ids (Tensor): Id map, (B, K, H, W), int64, -1..T-1.
        instance_labels (Tensor): Class of each instance, (B, T), int64, -1 for an empty slot.

    Returns:
        Tensor: (B, K, H, W), int64, class or -1.
    """
    table = F.pad(instance_labels, (1, 0), value=-1)
    return table.gather(1, (ids + 1).flatten(1)).view_as(ids)


def label_map(ids: Tensor, instance_labels: Tensor, num_classes: int, grid: tuple) -> Tensor:
    """Gather the instances into the binary label map M (paper, 1.2.1).

    Args:
        ids (Tensor): Id map, (B, K, H, W), int64, -1..T-1.
        instance_labels (Tensor): (B, T), int64, -1 for an empty slot.
        num_classes (int): ``L``, number of classes.
        grid (tuple[int, int]): Rows and columns of M; (H, W) for one entry a pixel.

    Returns:
        Tensor: M, (B, L, h, w), float32, 1 where an instance of class k
        covers (any pixel of) the cell, else 0.
    """
    classes = class_layers(ids, instance_labels)
    counts = region_counts(classes, grid, num_classes)
    return (counts > 0).float().unflatten(2, grid)
