"""Convolution blocks shared by the networks."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .instances import gather_vectors, vector_table
from .precision import exact

MAX_GROUP_CHANNELS = 16


class GroupNorm(nn.GroupNorm):
    """Group norm that keeps the dtype of its input under autocast and accumulates in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x``, (B, D, H, W)."""
        affine = [v if v is None else v.to(x.dtype) for v in (self.weight, self.bias)]
        with exact(x):
            return F.group_norm(x, self.num_groups, *affine, self.eps)


def group_norm(channels: int, affine: bool = True) -> GroupNorm:
    """Group norm with groups of about sixteen channels.

    Source:
        ours: the paper names no norm for the generators; group norm preserves the ratio of channels
            within a group, which instance norm removes from flat label regions, and does not
            depend on the batch.
    """
    groups = max(channels // MAX_GROUP_CHANNELS, 1)
    while channels % groups:
        groups -= 1
    return GroupNorm(groups, channels, affine=affine)


class InstanceModulation(nn.Module):
    r"""Group norm with scale and shift from each pixel's instance.

    .. math:: y_p = \hat{x}_p (1 + \gamma_{i(p)}) + \beta_{i(p)}

    Scale and shift are linear in the instance's code, computed once per instance and looked up per
    pixel (:class:`ModulationTables`). Without overlapping instances this equals SPADE with 1x1
    convolutions over the map of codes.

    Source:
        reference: SPADE, arXiv:1903.07291, and CLADE, arXiv:2004.02867 (class-wise parameters
            looked up by label).
        ours: codes of instances in place of classes.

    Args:
        channels (int): Channels of the features.
        code_channels (int): Size of an instance code.
    """

    def __init__(self, channels: int, code_channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, affine=False)
        self.affine = nn.Linear(code_channels, 2 * channels)
        nn.init.normal_(self.affine.weight, std=0.02)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Normalise, scale and shift; all arguments are (B, D, H, W)."""
        return (self.norm(x) * scale).add_(shift)


class ResBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels; if they differ, the skip is a 1x1 convolution.
        code_channels (int, optional): Size of the instance codes that modulate the norms.
            Defaults to None, plain group norm.
    """

    with_cp = False  # whether apply_blocks checkpoints this block

    def __init__(
        self, in_channels: int, out_channels: int, code_channels: int | None = None
    ) -> None:
        super().__init__()
        self.widths = (in_channels, in_channels, out_channels, out_channels)
        for index, channels in enumerate((in_channels, out_channels)):
            norm = (
                group_norm(channels)
                if code_channels is None
                else InstanceModulation(channels, code_channels)
            )
            self.add_module(f'norm{index}', norm)
        self.conv0 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv1 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1, bias=False)
        )

    def forward(self, x: Tensor, maps: Sequence[Tensor] = ()) -> Tensor:
        """Apply the block.

        Args:
            x (Tensor): (B, in_channels, H, W), float.
            maps (Sequence[Tensor]): Scale and shift of both norms, (B, widths[i], H, W); empty if
                the block is not modulated.

        Returns:
            Tensor: (B, out_channels, H, W).
        """
        y = self.conv0(F.leaky_relu(self.norm0(x, *maps[:2]), 0.2, inplace=True))
        y = self.conv1(F.leaky_relu(self.norm1(y, *maps[2:]), 0.2, inplace=True))
        return self.skip(x) + y


class ModulationTables(nn.Module):
    """Scales and shifts of all norms for all instances in one matrix product.

    Args:
        groups (Sequence[Sequence[ResBlock]]): Modulated blocks, grouped by resolution.
    """

    def __init__(self, groups: Sequence[Sequence[ResBlock]]) -> None:
        super().__init__()
        widths = [width for blocks in groups for block in blocks for width in block.widths]
        ones = [torch.full((width,), 1.0 - i % 2) for i, width in enumerate(widths)]
        self.register_buffer('ones', torch.cat(ones), persistent=False)

    def forward(self, groups: Sequence[Sequence[ResBlock]], codes: Tensor) -> list[Tensor]:
        """Compute the tables.

        Args:
            groups (Sequence[Sequence[ResBlock]]): As passed to the constructor.
            codes (Tensor): One code per instance, (B, T, code_channels).

        Returns:
            list[Tensor]: :func:`vector_table` of each group, with columns of ``ResBlock.widths``
            for each block: ``1 + gamma`` and ``beta``, which are 1 and 0 outside all instances.
        """
        norms = [norm for blocks in groups for b in blocks for norm in (b.norm0, b.norm1)]
        weight = torch.cat([norm.affine.weight for norm in norms])
        bias = torch.cat([norm.affine.bias for norm in norms])
        table = vector_table(F.linear(codes, weight, bias))
        widths = [sum(sum(block.widths) for block in blocks) for blocks in groups]
        return (table + self.ones.to(table.dtype)).split(widths, 1)


def apply_blocks(
    blocks: Sequence[ResBlock], x: Tensor, table: Tensor | None, rows: Tensor
) -> Tensor:
    """Apply the residual blocks of one resolution in sequence.

    Args:
        blocks (Sequence[ResBlock]): The blocks.
        x (Tensor): (B, D, H, W), float.
        table (Tensor, optional): From :class:`ModulationTables`; None for unmodulated blocks.
        rows (Tensor): :func:`table_rows` at the size of ``x``, (B, K, H, W), int64.
    """
    if not (any(block.with_cp for block in blocks) and torch.is_grad_enabled()):
        return _apply_blocks(blocks, x, table, rows)
    widths = [sum(block.widths) for block in blocks]
    tables = [None] * len(blocks) if table is None else table.split(widths, 1)
    for block, table in zip(blocks, tables):
        x = checkpoint(
            _apply_blocks, [block], x, table, rows, use_reentrant=False, preserve_rng_state=False
        )
    return x


def _apply_blocks(
    blocks: Sequence[ResBlock], x: Tensor, table: Tensor | None, rows: Tensor
) -> Tensor:
    maps = ()
    if table is not None:
        widths = [width for block in blocks for width in block.widths]
        maps = gather_vectors(table, rows).split(widths, 1)
    for index, block in enumerate(blocks):
        x = block(x, maps[4 * index : 4 * index + 4])
    return x


def down_block(in_channels: int, out_channels: int, norm: bool = True) -> nn.Sequential:
    """Downsample by 2: 3x3 stride-2 convolution, group norm, leaky ReLU."""
    layers = [nn.Conv2d(in_channels, out_channels, 3, 2, 1)]
    if norm:
        layers.append(group_norm(out_channels))
    return nn.Sequential(*layers, nn.LeakyReLU(0.2, inplace=True))


def upsample(x: Tensor) -> Tensor:
    """Upsample by 2, bilinearly.

    Nearest-neighbor upsampling leaves a visible grid of coarse cells in stage 0, transposed
    convolutions leave checkerboards.
    """
    return F.interpolate(x, scale_factor=2, mode='bilinear')
