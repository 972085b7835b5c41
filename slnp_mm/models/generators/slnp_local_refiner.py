"""Stage 1 and later: refinement by attention over the instances."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers import (
    LabelEmbedding,
    ModulationTables,
    ResBlock,
    apply_blocks,
    attend,
    attention_weights,
    down_block,
    gather_vectors,
    instance_context,
    pool_mean,
    region_counts,
    stride_ids,
    table_rows,
    upsample,
    vector_table,
)


@MODELS.register_module()
class SLNPLocalRefiner(BaseModule):
    r"""Local refiner ``G_img1``, also used for later stages.

    .. math::
        y_1 = F_1(y_0 + Enc(L_1), V, \mu_1), \quad I_1 = G_{img_1}(y_1)

    Source:
        paper: SLNP-GAN, 1.2.2, figs 5(b) and 6, Eq. (10)-(17).
        ours: ``v'_i`` is the class embedding plus the mean of ``Enc(L_1)`` over the instance;
            residual blocks run at a quarter of the output size, at a sixteenth of the cost.

    Args:
        num_classes (int): ``C``, without the unlabelled class.
        in_channels (int): Channels of the previous stage's features.
        code_channels (int): Size of the instance codes of stage 0. Defaults to 64.
        embed_channels (int): Size of the class embeddings. Defaults to 32.
        attention_channels (int): ``D`` of ``V_region`` and ``v'``. Defaults to 128.
        base_channels (int): Channels of ``y_1``. Defaults to 32.
        num_blocks (int): Residual blocks. Defaults to 4.
        num_regions (int): Sub-regions per side of the previous image. Defaults to 16.
        attention (bool): If False, an instance's own vector replaces its context (ablation).
            Defaults to True.
        modulated (bool): See :class:`SLNPGlobalGenerator`. Defaults to False.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        code_channels: int = 64,
        embed_channels: int = 32,
        attention_channels: int = 128,
        base_channels: int = 32,
        num_blocks: int = 4,
        num_regions: int = 16,
        attention: bool = True,
        modulated: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.out_channels = base_channels
        self.num_regions = num_regions
        self.attention = attention
        mid = base_channels * 2
        wide = base_channels * 4
        self.embedding = LabelEmbedding(num_classes, embed_channels)
        self.encoder = down_block(embed_channels, in_channels)
        self.class_vector = LabelEmbedding(num_classes, attention_channels)
        self.instance_fc = nn.Linear(in_channels, attention_channels)
        if attention:
            self.region_encoder = nn.Sequential(
                down_block(3, 32, norm=False),
                down_block(32, 64),
                nn.Conv2d(64, attention_channels, 3, padding=1),
            )
        code = code_channels if modulated else None
        self.down = down_block(in_channels, wide)
        self.fuse = nn.Conv2d(wide + attention_channels + embed_channels, wide, 3, padding=1)
        self.blocks = nn.ModuleList(ResBlock(wide, wide, code) for _ in range(num_blocks))
        self.up0 = ResBlock(wide + in_channels, mid, code)
        self.up1 = ResBlock(mid + embed_channels, base_channels, code)
        self.modulation = ModulationTables(self._block_groups()) if modulated else None
        self.to_rgb = nn.Conv2d(base_channels, 3, 3, padding=1)
        nn.init.normal_(self.to_rgb.weight, std=0.02)  # keeps tanh linear

    def _block_groups(self) -> list[Sequence[ResBlock]]:
        """Blocks by resolution, coarsest first."""
        return [self.blocks, [self.up0], [self.up1]]

    def instance_vectors(self, encoded: Tensor, counts: Tensor, instance_labels: Tensor) -> Tensor:
        """Instance vectors ``v'_i``.

        Args:
            encoded (Tensor): ``Enc(L_1)`` on the grid of ``counts``, (B, in_channels, h, w).
            counts (Tensor): Pixels of each instance per cell, (B, T, h * w).
            instance_labels (Tensor): (B, T), -1 for empty slots.

        Returns:
            Tensor: (B, T, attention_channels).
        """
        classes = instance_labels.masked_fill(instance_labels < 0, self.num_classes)
        return self.class_vector(classes) + self.instance_fc(pool_mean(encoded, counts))

    def region_vectors(self, image: Tensor) -> Tensor:
        """Sub-region vectors ``V_region`` (B, num_regions ** 2, D) of ``I_0`` (B, 3, H, W)."""
        features = F.adaptive_avg_pool2d(self.region_encoder(image), self.num_regions)
        return features.flatten(2).transpose(1, 2)

    def instance_map(
        self, image: Tensor, encoded: Tensor, ids: Tensor, rows: Tensor, instance_labels: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Detail map ``V`` of Eq. (15) and attention weights.

        Args:
            image (Tensor): ``I_0``, (B, 3, H / 2, W / 2).
            encoded (Tensor): ``Enc(L_1)``, (B, in_channels, H / 2, W / 2).
            ids (Tensor): Instance ids, (B, K, H, W).
            rows (Tensor): :func:`table_rows`, (B, K, H / 4, W / 4).
            instance_labels (Tensor): (B, T).

        Returns:
            tuple[Tensor, Tensor | None]: V, (B, attention_channels, H / 4, W / 4); weights
            (B, N, T), None without attention.
        """
        slots = instance_labels.shape[1]
        grid = (ids.shape[-2] // 4, ids.shape[-1] // 4)
        vectors = self.instance_vectors(
            F.avg_pool2d(encoded, 2), region_counts(ids, grid, slots), instance_labels
        )
        weights = None
        if self.attention:
            weights = attention_weights(self.region_vectors(image), vectors, instance_labels >= 0)
            side = (self.num_regions, self.num_regions)
            cover = region_counts(ids, side, slots) > 0
            vectors = instance_context(attend(weights, vectors), cover)
        return gather_vectors(vector_table(vectors), rows), weights

    def forward(
        self,
        label: Tensor,
        ids: Tensor,
        instance_labels: Tensor,
        features: Tensor,
        image: Tensor,
        codes: Tensor,
        return_attention: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Double the resolution and refine.

        Args:
            label (Tensor): ``L_1``, class indices, (B, H, W), int64, 0..C, ``C`` = unlabelled.
            ids (Tensor): Instance ids, (B, K, H, W), int64, -1..T-1.
            instance_labels (Tensor): (B, T), int64, -1 for empty slots.
            features (Tensor): ``y_0``, (B, in_channels, H / 2, W / 2).
            image (Tensor): ``I_0``, (B, 3, H / 2, W / 2) in [-1, 1].
            codes (Tensor): Instance codes of stage 0, (B, T, code_channels).
            return_attention (bool): Whether to return the weights. Defaults to False.

        Returns:
            tuple[Tensor, Tensor, Tensor | None]: ``y_1`` (B, base_channels, H, W), ``I_1``
            (B, 3, H, W) in [-1, 1], attention weights (B, N, T) or None.
        """
        embedded = self.embedding(label)
        encoded = self.encoder(embedded)  # Enc(L_1)
        rows = table_rows(ids, instance_labels.shape[1])
        levels = [stride_ids(rows, 4), stride_ids(rows, 2), rows]
        detail, weights = self.instance_map(image, encoded, ids, levels[0], instance_labels)
        merged = features + encoded
        y = self.fuse(
            torch.cat(
                [self.down(merged), detail, self.embedding.pooled(label, detail.shape[-2:])], 1
            )
        )  # last: mu_1
        groups = self._block_groups()
        tables = self.modulation(groups, codes) if self.modulation else [None] * len(groups)
        y = apply_blocks(groups[0], y, tables[0], levels[0])
        y = apply_blocks(groups[1], torch.cat([upsample(y), merged], 1), tables[1], levels[1])
        y = apply_blocks(groups[2], torch.cat([upsample(y), embedded], 1), tables[2], levels[2])
        y = F.leaky_relu(y, 0.2, inplace=True)  # y_1, Eq. (16)
        image = torch.tanh(self.to_rgb(y))  # I_1, Eq. (17)
        return y, image, weights if return_attention else None
