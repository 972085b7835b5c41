"""Stage 0: the global image from label map, instances and noise prior."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...errors import SLNPError
from ..layers import (
    LabelEmbedding,
    ModulationTables,
    ResBlock,
    apply_blocks,
    down_block,
    gather_vectors,
    label_map,
    pool_mean,
    pool_noise,
    region_counts,
    stride_ids,
    table_rows,
    upsample,
    vector_table,
)

NOISE_KINDS = ('white', 'code')


@MODELS.register_module()
class SLNPGlobalGenerator(BaseModule):
    r"""Global generator ``G_img0``.

    .. math::
        y_0 = F_0(Z_{np}, G', Enc(L_0)), \quad I_0 = G_{img_0}(y_0)

    Source:
        paper: SLNP-GAN, 1.2.1, fig. 5(a), Eq. (8) and (9).
        ours: an instance's code is a linear map of its class embedding, the noise pooled over its
            mask and ``G'``; skip connections carry ``Enc(L_0)`` to the upsampling blocks, since
            F_0 would otherwise have to draw outlines from the coarsest map.

    Args:
        num_classes (int): ``C``, without the unlabelled class.
        noise_channels (int): Channels of the noise.
        embed_channels (int): Size of the class embeddings. Defaults to 32.
        code_channels (int): Size of ``G'`` and of the instance codes. Defaults to 64.
        base_channels (int): Channels of ``y_0``, doubled at each coarser level. Defaults to 64.
        max_channels (int): Maximum number of channels. Defaults to 512.
        num_downs (int): Downsampling steps before the residual blocks; the image size must be a
            multiple of ``2 ** num_downs``. Defaults to 3.
        num_blocks (int): Residual blocks at the coarsest level. Defaults to 6.
        modulated (bool): Whether instance codes also modulate the norms of the residual blocks
            (segmentation-aware normalisation). Defaults to False, as in the paper.
        noise_kind (str): 'white' for noise with independent cells, which is resized by repetition
            and pooled over instances with its variance preserved; 'code' for correlated cells, as
            in an image's code, which are interpolated and averaged. Defaults to 'white'.

    Raises:
        SLNPError: If ``noise_kind`` is unknown.
    """

    def __init__(
        self,
        num_classes: int,
        noise_channels: int,
        embed_channels: int = 32,
        code_channels: int = 64,
        base_channels: int = 64,
        max_channels: int = 512,
        num_downs: int = 3,
        num_blocks: int = 6,
        modulated: bool = False,
        noise_kind: str = 'white',
    ) -> None:
        super().__init__()
        if noise_kind not in NOISE_KINDS:
            raise SLNPError(f'noise_kind must be one of {NOISE_KINDS}, but got {noise_kind!r}.')
        self.noise_kind = noise_kind
        self.num_classes = num_classes
        self.num_downs = num_downs
        self.code_channels = code_channels
        self.out_channels = base_channels
        widths = [min(base_channels * 2**i, max_channels) for i in range(num_downs + 1)]
        enc = [embed_channels] + [max(w // 2, 16) for w in widths[1:]]
        self.embedding = LabelEmbedding(num_classes, embed_channels)
        self.encoder = nn.ModuleList(down_block(enc[i], enc[i + 1]) for i in range(num_downs))
        self.global_fc = nn.Linear(enc[-1], code_channels)
        self.class_code = LabelEmbedding(num_classes, code_channels)
        self.noise_fc = nn.Linear(noise_channels, code_channels)
        fused = enc[-1] + num_classes + embed_channels + noise_channels + code_channels
        self.fuse = nn.Conv2d(fused, widths[-1], 3, padding=1)
        code = code_channels if modulated else None
        self.blocks = nn.ModuleList(
            ResBlock(widths[-1], widths[-1], code) for _ in range(num_blocks)
        )
        self.ups = nn.ModuleList(
            ResBlock(widths[i + 1] + enc[i], widths[i], code) for i in reversed(range(num_downs))
        )
        self.modulation = ModulationTables(self._block_groups()) if modulated else None
        self.to_rgb = nn.Conv2d(base_channels, 3, 3, padding=1)
        nn.init.normal_(self.to_rgb.weight, std=0.02)  # keeps tanh linear

    def _block_groups(self) -> list[Sequence[ResBlock]]:
        """Blocks by resolution, coarsest first."""
        return [self.blocks, *([up] for up in self.ups)]

    def encode(
        self,
        label: Tensor,
        ids: Tensor,
        rows: Tensor,
        instance_labels: Tensor,
        noise: Tensor,
        resample: dict[int, Tensor] | None = None,
    ) -> tuple[list, Tensor, Tensor]:
        """Encode the label map and the instances.

        Args:
            label (Tensor): ``L_0`` as class indices, (B, H, W), 0..C.
            ids (Tensor): Instance ids, (B, K, H, W), -1..T-1.
            rows (Tensor): :func:`table_rows` at the coarsest level, (B, K, H / 2^n, W / 2^n).
            instance_labels (Tensor): (B, T), -1 for empty slots.
            noise (Tensor): ``Z_np``, (B, noise_channels, h, w).
            resample (dict[int, Tensor], optional): For an instance 0..T-1, the noise of the same
                shape to pool its code from; all other codes stay bit-identical. The noise map
                itself is not changed; in a trained model its effect on the instance is negligible
                (docs/inference.md). Defaults to None.

        Returns:
            tuple[list[Tensor], Tensor, Tensor]: ``Enc(L_0)``, finest (the embedded label) first;
            instance codes (B, T, code_channels); the input of the residual blocks,
            (B, D, H / 2^n, W / 2^n).
        """
        encoded = [self.embedding(label)]
        for down in self.encoder:
            encoded.append(down(encoded[-1]))
        grid = tuple(encoded[-1].shape[-2:])
        global_vector = self.global_fc(encoded[-1].mean((2, 3)))  # G'
        noise = self._on_grid(noise, grid)
        pool = pool_mean if self.noise_kind == 'code' else pool_noise
        counts = region_counts(ids, grid, instance_labels.shape[1])
        pooled = pool(noise, counts)
        for index, other in (resample or {}).items():
            pooled[:, index] = pool(self._on_grid(other, grid), counts[:, [index]])[:, 0]
        classes = instance_labels.masked_fill(instance_labels < 0, self.num_classes)
        codes = self.class_code(classes) + global_vector[:, None] + self.noise_fc(pooled)
        fused = torch.cat(
            [
                encoded[-1],
                label_map(counts, classes, self.num_classes).unflatten(2, grid),  # M
                self.embedding.pooled(label, grid),  # mu_0
                noise,
                gather_vectors(vector_table(codes), rows),
            ],
            1,
        )
        return encoded, codes, self.fuse(fused)

    def _on_grid(self, noise: Tensor, grid: tuple[int, int]) -> Tensor:
        """Resize noise of either kind to the grid of the residual blocks."""
        if self.noise_kind == 'code':
            return F.interpolate(noise, size=grid, mode='bilinear')
        return resize_noise(noise, grid)

    def forward(
        self,
        label: Tensor,
        ids: Tensor,
        instance_labels: Tensor,
        noise: Tensor,
        resample: dict[int, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Generate the global image.

        Args:
            label (Tensor): ``L_0``, class indices, (B, H, W), int64, 0..C, ``C`` = unlabelled.
            ids (Tensor): Instance ids, (B, K, H, W), int64, -1..T-1.
            instance_labels (Tensor): (B, T), int64, -1 for empty slots.
            noise (Tensor): ``Z_np``, (B, noise_channels, h, w), float32.
            resample (dict[int, Tensor], optional): See :meth:`encode`. Defaults to None.

        Returns:
            tuple[Tensor, Tensor, Tensor]: ``y_0`` (B, base_channels, H, W), ``I_0`` (B, 3, H, W)
            in [-1, 1], instance codes (B, T, code_channels).
        """
        rows = table_rows(ids, instance_labels.shape[1])
        levels = [stride_ids(rows, 2**level) for level in reversed(range(self.num_downs + 1))]
        encoded, codes, y = self.encode(label, ids, levels[0], instance_labels, noise, resample)
        groups = self._block_groups()
        tables = self.modulation(groups, codes) if self.modulation else [None] * len(groups)
        y = apply_blocks(groups[0], y, tables[0], levels[0])
        for i, finer in enumerate(reversed(encoded[:-1]), 1):
            y = torch.cat([upsample(y), finer], 1)
            y = apply_blocks(groups[i], y, tables[i], levels[i])
        y = F.leaky_relu(y, 0.2, inplace=True)  # y_0, Eq. (8)
        return y, torch.tanh(self.to_rgb(y)), codes  # I_0, Eq. (9)


def resize_noise(noise: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize white noise (B, D, h, w) to a grid (rows, columns).

    Finer noise is averaged and scaled by the square root of the number of averaged cells, which
    preserves the variance; coarser noise is repeated.
    """
    cells = noise.shape[-2] * noise.shape[-1] / (grid[0] * grid[1])
    if cells > 1:
        return F.adaptive_avg_pool2d(noise, grid) * cells**0.5
    return F.interpolate(noise, size=grid, mode='nearest')
