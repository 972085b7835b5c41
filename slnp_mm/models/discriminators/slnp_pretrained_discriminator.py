"""A discriminator on frozen ImageNet features."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from slnp_mm.errors import SLNPError

from ..layers import LabelEmbedding
from ..layers.pretrained_features import CHANNELS, IMAGENET_SIZE, PretrainedFeatures
from .slnp_discriminator import DiscriminatorOutput


class DecisionHead(nn.Module):
    """Decisions on one feature map, to which the label is added.

    Args:
        in_channels (int): Channels of the features.
        embed_channels (int): Length of class vectors.
        channels (int): Channels of the head.
    """

    def __init__(self, in_channels: int, embed_channels: int, channels: int) -> None:
        super().__init__()
        self.feature = nn.Conv2d(in_channels, channels, 1)
        self.label = nn.Conv2d(embed_channels, channels, 1)
        self.body = _body(channels)
        self.decide = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, feature: Tensor, embedded: Tensor) -> Tensor:
        """Judge features (B, in_channels, h, w) under class vectors of the same grid.

        Returns:
            Tensor: Logits, (B, 1, h, w).
        """
        return self.decide(self.body(self.feature(feature) + self.label(embedded)))


@MODELS.register_module()
class SLNPPretrainedDiscriminator(BaseModule):
    """Discriminator ``D_img`` whose first layers are a frozen ImageNet network.

    The frozen features, and the image averaged 2x2, which holds the colors, are the features of
    Eq. (19). Small trained networks on them, told the label, take the decisions of Eq. (18).
    The frozen network is no submodule: it is in no ``parameters()``, ``state_dict()``,
    ``train()`` or conversion of norms, yet follows :meth:`to`. Within a training step
    (:meth:`StageDiscriminators.step`) an image's features are computed once and remembered.

    Source:
        paper: SLNP-GAN, 1.3, Eq. (19) ("features from several layers of the discriminator"), to
            which the paper comes from Johnson et al.'s perceptual loss [18].
        reference: Projected GANs, arXiv:2111.01007 (heads on frozen features of several strides,
            images upsampled to the size that the frozen network knows).
        ours: the heads, and how the label enters them; the random upsampling factor.

    Args:
        num_classes (int): ``C``, without the unlabelled channel.
        channels (int): Channels of the trained heads. Defaults to 64.
        embed_channels (int): Length of class vectors. Defaults to 64.
        grid_size (int): Side of the decision maps. Defaults to 8.
        upsample_factor (float | Sequence[float]): Factor, >= 1, by which an image is upsampled
            for the frozen network if its shorter side is below :data:`IMAGENET_SIZE`; sides are
            rounded to multiples of 8. A pair (low, high): drawn uniformly once a training step;
            elsewhere its mean. Defaults to 1.0.
        enlarge (None): Former name of ``upsample_factor``, refused.

    Raises:
        SLNPError: If the weights of the frozen network are not installed, or ``enlarge`` is given.
        SLNPError: If ``upsample_factor`` is below 1 or no range.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 64,
        embed_channels: int = 64,
        grid_size: int = 8,
        upsample_factor: float | Sequence[float] = 1.0,
        enlarge: None = None,
    ) -> None:
        super().__init__()
        if enlarge is not None:
            raise SLNPError('enlarge of the discriminator is now called upsample_factor: rename it')
        single = isinstance(upsample_factor, (int, float))
        low, high = (upsample_factor, upsample_factor) if single else upsample_factor
        if not 1 <= low <= high:
            raise SLNPError(
                f'upsample_factor must be a number >= 1 or a range of such, (low, high), but got '
                f'{upsample_factor}.'
            )
        self.num_classes = num_classes
        self.grid_size = grid_size
        self.upsample_range = (low, high)
        self.end_step()
        self._frozen = (PretrainedFeatures(),)  # a tuple, so that it is not registered
        self.embedding = LabelEmbedding(num_classes, embed_channels)
        self.heads = nn.ModuleList(DecisionHead(c, embed_channels, channels) for c in CHANNELS[1:])
        self._init_scales()
        self.to(memory_format=torch.channels_last)

    def _init_scales(self) -> None:
        """Keep the variance of the features through the heads; decisions start near 0."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.2)
                nn.init.zeros_(module.bias)
                if name.endswith('decide'):
                    nn.init.normal_(module.weight, std=0.02)

    def _apply(self, fn, *args, **kwargs) -> 'SLNPPretrainedDiscriminator':
        """Move the frozen network with the heads."""
        self._frozen[0]._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)

    def compile(self, **options) -> None:
        """Compile the frozen network and the heads, unless their sizes are drawn every step."""
        low, high = self.upsample_range
        if low == high:
            self._frozen[0].compile(**options)
            self._decide = torch.compile(self._decide, **options)

    def start_step(self, factor: float | None = None) -> None:
        """Remember features from now on, of images upsampled by ``factor`` if one is drawn."""
        self._remembered: dict[Tensor, list[Tensor]] | None = {}
        self._factor = factor or self._factor

    def end_step(self) -> None:
        """Forget the features; upsample by the mean of the range."""
        self._remembered = None
        self._factor = sum(self.upsample_range) / 2

    def forward(self, image: Tensor, label: Tensor, detach: bool = False) -> DiscriminatorOutput:
        """Judge images under their labels.

        Args:
            image (Tensor): RGB, (B, 3, H, W), float32, [-1, 1].
            label (Tensor): Class indices, (B, H, W), int64, 0..C, ``C`` = unlabelled; H and W
                multiples of 4.
            detach (bool): Whether no gradient may reach the image. Defaults to False.

        Returns:
            DiscriminatorOutput: Logits, (B, 4, grid_size, grid_size), one map a stride; as
            features the image averaged 2x2, then the frozen features, finest first.
        """
        features = self.features(image)
        if detach:
            features = [feature.detach() for feature in features]
        return DiscriminatorOutput(self._decide(features, label), features)

    def features(self, image: Tensor, label: Tensor | None = None) -> list[Tensor]:
        """Features of Eq. (19), which know no label, computed once an image within a step."""
        known = {} if self._remembered is None else self._remembered
        if image not in known:  # tensors are told apart by identity
            large = image
            if self._factor > 1 and min(image.shape[-2:]) < IMAGENET_SIZE:
                size = [int(round(self._factor * side / 8)) * 8 for side in image.shape[-2:]]
                large = F.interpolate(image, size=size, mode='bilinear')
            known[image] = [F.avg_pool2d(image, 2), *self._frozen[0](large)]
        return known[image]

    def _decide(self, features: list[Tensor], label: Tensor) -> Tensor:
        """Decisions of the heads, each on the features of its stride."""
        # class vectors, averaged to a grid that divides the label, then to that of each stride
        rows, columns = features[2].shape[-2:]
        if label.shape[1] % rows or label.shape[2] % columns:
            rows, columns = features[0].shape[-2:]
        embedded = self.embedding.pooled(label, (rows, columns))
        decisions = []
        for head, feature in zip(self.heads, features[2:]):
            grid = feature.shape[-2:]
            logits = head(feature, F.adaptive_avg_pool2d(embedded, grid))
            decisions.append(_to_grid(logits, self.grid_size))
        return torch.cat(decisions, 1)


def _body(channels: int) -> nn.Sequential:
    """Two 3x3 convolutions, a leaky ReLU around each."""
    return nn.Sequential(
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
    )


def _to_grid(logits: Tensor, size: int) -> Tensor:
    """Average or repeat decisions to a square grid."""
    if min(logits.shape[-2:]) >= size:
        return F.adaptive_avg_pool2d(logits, size)
    return F.interpolate(logits, size=(size, size), mode='nearest')
