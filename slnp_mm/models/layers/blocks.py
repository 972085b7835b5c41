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
    """Group norm in the type of its input, which autocast would raise; its sums are float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, D, H, W)."""
        affine = [v if v is None else v.to(x.dtype) for v in (self.weight, self.bias)]
        with exact(x):
            return F.group_norm(x, self.num_groups, *affine, self.eps)


def group_norm(channels: int, affine: bool = True) -> GroupNorm:
    """Group normalisation with groups of (about) sixteen channels.

    Source:
        ours: the paper names no norm for the generators; group norm keeps
            the ratio of channels inside a group, which instance norm takes
            from flat label regions, and does not depend on the batch.

    Args:
        channels (int): Number of channels.
        affine (bool): Whether to learn scale and shift. Defaults to True.

    Returns:
        GroupNorm: The layer.
    """
    groups = max(channels // MAX_GROUP_CHANNELS, 1)
    while channels % groups:
        groups -= 1
    return GroupNorm(groups, channels, affine=affine)


class InstanceModulation(nn.Module):
    r"""Group norm whose scale and shift come from the instance of a pixel.

    .. math:: y_p = \hat{x}_p (1 + \gamma_{i(p)}) + \beta_{i(p)}

    Scale and shift are linear in the instance's code and are computed once
    an instance, then looked up by pixel (:class:`ModulationTables`): for a label map without
    overlaps this equals SPADE with 1x1 convolutions over the map of codes.

    Source:
        reference: SPADE, arXiv:1903.07291, and CLADE, arXiv:2004.02867
            (class-wise parameters looked up by label).
        ours: codes of instances in place of classes.

    Args:
        channels (int): Channels of the features.
        code_channels (int): Length of an instance's code.
    """

    def __init__(self, channels: int, code_channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, affine=False)
        self.affine = nn.Linear(code_channels, 2 * channels)
        nn.init.normal_(self.affine.weight, std=0.02)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Normalise ``x`` (B, D, H, W), then multiply by ``scale`` and add ``shift``, alike."""
        return (self.norm(x) * scale).add_(shift)


class ResBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels; a 1x1 convolution carries the skip where they differ.
        code_channels (int, optional): Length of the instance codes that
            modulate the norms. Defaults to None, plain group norm.

    Attributes:
        with_cp (bool): Whether :func:`apply_blocks` keeps the input only and computes the block
            again for the gradient.
    """

    with_cp = False

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
            maps (Sequence[Tensor]): Scale and shift of both norms, (B, widths[i], H, W); none if
                the block is not modulated.

        Returns:
            Tensor: (B, out_channels, H, W).
        """
        y = self.conv0(F.leaky_relu(self.norm0(x, *maps[:2]), 0.2, inplace=True))
        y = self.conv1(F.leaky_relu(self.norm1(y, *maps[2:]), 0.2, inplace=True))
        return self.skip(x) + y


class ModulationTables(nn.Module):
    """Scale and shift of every norm for every instance, from one product.

    Args:
        groups (Sequence[Sequence[ResBlock]]): Modulated blocks, those of one resolution together.
    """

    def __init__(self, groups: Sequence[Sequence[ResBlock]]) -> None:
        super().__init__()
        widths = [width for blocks in groups for block in blocks for width in block.widths]
        ones = [torch.full((width,), 1.0 - i % 2) for i, width in enumerate(widths)]
        self.register_buffer('ones', torch.cat(ones), persistent=False)

    def forward(self, groups: Sequence[Sequence[ResBlock]], codes: Tensor) -> list[Tensor]:
        """Compute the tables.

        Args:
            groups (Sequence[Sequence[ResBlock]]): As given to the constructor.
            codes (Tensor): One code an instance, (B, T, code_channels).

        Returns:
            list[Tensor]: :func:`vector_table` of each group, which holds :attr:`ResBlock.widths`
            of its blocks side by side: ``1 + gamma`` and ``beta``, 1 and 0 where no instance is.
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
    """Apply residual blocks of one resolution one after another.

    Args:
        blocks (Sequence[ResBlock]): The blocks.
        x (Tensor): (B, D, H, W), float.
        table (Tensor, optional): Of :class:`ModulationTables`; None if they are not modulated.
        rows (Tensor): :func:`table_rows` at the size of ``x``, (B, K, H, W), int64.

    Returns:
        Tensor: (B, D', H, W).
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
    """Halve the size: 3x3 stride-2 convolution, group norm, leaky ReLU.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels.
        norm (bool): Whether to normalise. Defaults to True.

    Returns:
        nn.Sequential: (B, in, H, W) -> (B, out, H / 2, W / 2).
    """
    layers = [nn.Conv2d(in_channels, out_channels, 3, 2, 1)]
    if norm:
        layers.append(group_norm(out_channels))
    return nn.Sequential(*layers, nn.LeakyReLU(0.2, inplace=True))


def upsample(x: Tensor) -> Tensor:
    """Double the size, bilinearly.

    Repeated pixels leave a grid of the coarse cells in stage 0, a transposed
    convolution a checkerboard.

    Args:
        x (Tensor): (B, D, H, W), float.

    Returns:
        Tensor: (B, D, 2H, 2W).
    """
    return F.interpolate(x, scale_factor=2, mode='bilinear')
