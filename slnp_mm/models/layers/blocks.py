"""Convolution blocks shared by the networks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .instances import place
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
    an instance, then looked up by pixel: for a label map without overlaps
    this equals SPADE with 1x1 convolutions over the map of codes.

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

    def forward(self, x: Tensor, codes: Tensor, ids: Tensor) -> Tensor:
        """Normalise and modulate.

        Args:
            x (Tensor): Features, (B, D, H, W), float.
            codes (Tensor): One code an instance, (B, T, code_channels).
            ids (Tensor): Id map at the features' size, (B, K, H, W), int64.

        Returns:
            Tensor: (B, D, H, W).
        """
        scale, shift = self.affine(codes).chunk(2, dim=2)
        return (self.norm(x) * place(1 + scale, ids, empty=1.0)).add_(place(shift, ids))


class ResBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels; a 1x1 convolution carries the skip where they differ.
        code_channels (int, optional): Length of the instance codes that
            modulate the norms. Defaults to None, plain group norm.

    Attributes:
        with_cp (bool): Whether to keep the input only and compute the block again for the
            gradient.
    """

    with_cp = False

    def __init__(
        self, in_channels: int, out_channels: int, code_channels: int | None = None
    ) -> None:
        super().__init__()
        self.modulated = code_channels is not None
        for index, channels in enumerate((in_channels, out_channels)):
            norm = (
                InstanceModulation(channels, code_channels)
                if self.modulated
                else group_norm(channels)
            )
            self.add_module(f'norm{index}', norm)
        self.conv0 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv1 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1, bias=False)
        )

    def forward(self, x: Tensor, codes: Tensor, ids: Tensor) -> Tensor:
        """Apply the block.

        Args:
            x (Tensor): (B, in_channels, H, W), float.
            codes (Tensor): Instance codes, (B, T, code_channels); read only
                if the block is modulated.
            ids (Tensor): Id map at the size of ``x``, (B, K, H, W), int64.

        Returns:
            Tensor: (B, out_channels, H, W).
        """
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(
                self._forward, x, codes, ids, use_reentrant=False, preserve_rng_state=False
            )
        return self._forward(x, codes, ids)

    def _forward(self, x: Tensor, codes: Tensor, ids: Tensor) -> Tensor:
        extra = (codes, ids) if self.modulated else ()
        y = self.conv0(F.leaky_relu(self.norm0(x, *extra), 0.2, inplace=True))
        y = self.conv1(F.leaky_relu(self.norm1(y, *extra), 0.2, inplace=True))
        return self.skip(x) + y


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
