"""Augmentation of what the discriminators see."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmagic.registry import MODELS
from torch import Tensor, nn

from .label_embedding import UNLABELLED

POLICIES = ('color', 'translation', 'cutout')
MAX_SHIFT = 1 / 8
"""float: Largest translation, share of a side."""
HOLE_SIZE = 1 / 2
"""float: Side of the cut-out box, share of a side."""


class AugmentParams(NamedTuple):
    """One drawing, for every stage; None for what the policy leaves out.

    Args:
        size (tuple[int, int]): Height and width of the lowest stage.
        color (Tensor): Brightness to add in [-0.5, 0.5), factor of
            saturation in [0, 2), of contrast in [0.5, 1.5), (B, 3), float32.
        shift (Tensor): Pixels of the lowest stage to move down and right, (B, 2), int64.
        hole (Tensor): First row and column of the box, in pixels of the
            lowest stage, (B, 2), int64; part of it may lie outside.
    """

    size: tuple[int, int]
    color: Tensor | None
    shift: Tensor | None
    hole: Tensor | None


@MODELS.register_module()
class SLNPDiffAugment(nn.Module):
    """Change images and labels alike, so that gradients pass.

    Parameters are drawn once a sample and iteration and serve real images,
    generated images and label maps of every stage: features of real and
    generated images, Eq. (19), stay comparable pixel by pixel. Shifts and boxes are whole pixels of
    the lowest stage, so that an augmented lower stage is the augmented higher one made smaller.
    What is moved in or cut out is 0 (grey) in images and unlabelled in label maps.

    Source:
        paper: nothing; an option, off by default.
        reference: DiffAugment, arXiv:2006.10738, its three policies, their order and ranges.
        ours: one drawing for real and generated images, labels and stages.

    Args:
        policy (Sequence[str]): Any of 'color' (brightness, saturation and contrast), 'translation'
            (by up to 1/8 of a side) and 'cutout' (a box of half the side). Defaults to all three.

    Raises:
        ValueError: If a policy is unknown.
    """

    def __init__(self, policy: Sequence[str] = POLICIES) -> None:
        super().__init__()
        policy = (policy,) if isinstance(policy, str) else tuple(policy)
        unknown = [name for name in policy if name not in POLICIES]
        if unknown:
            raise ValueError(f'policy must be out of {POLICIES}, but got {unknown[0]!r}.')
        self.policy = policy

    def draw(self, lowest: Tensor) -> AugmentParams:
        """Draw the parameters of one iteration.

        Args:
            lowest (Tensor): Label map of the lowest stage, (B, H, W); gives
                number, size and device.

        Returns:
            AugmentParams: For every stage.
        """
        size = tuple(lowest.shape[-2:])
        batch, device = len(lowest), lowest.device
        color = shift = hole = None
        if 'color' in self.policy:
            brightness, saturation, contrast = torch.rand(batch, 3, device=device).unbind(1)
            color = torch.stack([brightness - 0.5, saturation * 2, contrast + 0.5], 1)
        if 'translation' in self.policy:
            most = [int(side * MAX_SHIFT + 0.5) for side in size]
            shift = _integers(batch, [(-m, m) for m in most], device)
        if 'cutout' in self.policy:
            halves = [_hole_side(side) // 2 for side in size]
            odd = [_hole_side(side) % 2 for side in size]
            bounds = [(-half, side - half - one) for side, half, one in zip(size, halves, odd)]
            hole = _integers(batch, bounds, device)
        return AugmentParams(size, color, shift, hole)

    def images(self, stages: Sequence[Tensor], params: AugmentParams) -> list[Tensor]:
        """Change images.

        Args:
            stages (Sequence[Tensor]): One a stage, (B, 3, H, W), float,
                [-1, 1]; H and W multiples of the lowest stage's.
            params (AugmentParams): From :meth:`draw`.

        Returns:
            list[Tensor]: Same shapes; colors may leave [-1, 1].
        """
        if params.color is not None:
            stages = [recolor(x, params.color) for x in stages]
        return [_move_and_cut(x, params, 0) for x in stages]

    def labels(self, stages: Sequence[Tensor], params: AugmentParams) -> list[Tensor]:
        """Change label maps as the images are changed.

        Args:
            stages (Sequence[Tensor]): One a stage, (B, H, W), int64.
            params (AugmentParams): From :meth:`draw`.

        Returns:
            list[Tensor]: Same shapes, 255 where moved in or cut out.
        """
        return [_move_and_cut(x[:, None], params, UNLABELLED)[:, 0] for x in stages]


def recolor(images: Tensor, color: Tensor) -> Tensor:
    """Change brightness, then saturation, then contrast.

    Args:
        images (Tensor): (B, 3, H, W), float.
        color (Tensor): See :class:`AugmentParams`, (B, 3).

    Returns:
        Tensor: (B, 3, H, W), float.
    """
    brightness, saturation, contrast = color[..., None, None, None].unbind(1)
    images = images + brightness
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * saturation + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * contrast + mean


def _move_and_cut(maps: Tensor, params: AugmentParams, fill: int) -> Tensor:
    """Translation and cutout of (B, D, H, W) at the scale of a stage."""
    factor = maps.shape[-2] // params.size[0]
    if params.shift is not None:
        maps = _move(maps, params.shift * factor, fill)
    if params.hole is not None:
        sides = [_hole_side(side) * factor for side in params.size]
        maps = _cut(maps, params.hole * factor, sides, fill)
    return maps


def _move(maps: Tensor, shift: Tensor, fill: int) -> Tensor:
    """Move (B, D, H, W) down and right by ``shift`` (B, 2) pixels."""
    height, width = maps.shape[-2:]
    batch = torch.arange(len(maps), device=maps.device)
    rows = torch.arange(height, device=maps.device) - shift[:, :1]
    cols = torch.arange(width, device=maps.device) - shift[:, 1:]
    outside = _outer((rows < 0) | (rows >= height), (cols < 0) | (cols >= width))
    moved = maps.permute(0, 2, 3, 1)[
        batch[:, None, None],
        rows.clamp(0, height - 1)[:, :, None],
        cols.clamp(0, width - 1)[:, None, :],
    ]
    return moved.permute(0, 3, 1, 2).masked_fill(outside, fill)


def _outer(rows: Tensor, cols: Tensor) -> Tensor:
    """Pixels (B, 1, H, W) in a marked row (B, H) or column (B, W)."""
    return (rows[:, :, None] | cols[:, None, :])[:, None]


def _cut(maps: Tensor, start: Tensor, sides: Sequence[int], fill: int) -> Tensor:
    """Fill a box of ``sides`` from ``start`` (B, 2) on."""
    keep = []
    for axis, side in enumerate(sides):
        first = start[:, axis : axis + 1]
        line = torch.arange(maps.shape[axis - 2], device=maps.device)
        keep.append((line < first) | (line >= first + side))
    return maps.masked_fill(~_outer(*keep), fill)


def _hole_side(side: int) -> int:
    """Side of the box for a side of the lowest stage, in pixels."""
    return int(side * HOLE_SIZE + 0.5)


def _integers(batch: int, bounds: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
    """Draw one integer a sample within each pair of bounds, (B, n)."""
    columns = [torch.randint(low, high + 1, (batch,), device=device) for low, high in bounds]
    return torch.stack(columns, 1)
