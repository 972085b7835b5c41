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
from .slnp_discriminator import DiscriminatorOutput, concat


class DecisionHead(nn.Module):
    """Patch logits from one feature map plus the embedded label."""

    def __init__(self, in_channels: int, embed_channels: int, channels: int) -> None:
        super().__init__()
        self.feature = nn.Conv2d(in_channels, channels, 1)
        self.label = nn.Conv2d(embed_channels, channels, 1)
        self.body = _body(channels)
        self.decide = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, feature: Tensor, embedded: Tensor) -> Tensor:
        """Map features and label embeddings on one (h, w) grid to logits (B, 1, h, w)."""
        return self.decide(self.body(self.feature(feature) + self.label(embedded)))


@MODELS.register_module()
class SLNPPretrainedDiscriminator(BaseModule):
    """Discriminator ``D_img`` on frozen ImageNet features.

    The frozen features, plus the image averaged 2x2 for its colors, are the features of Eq. (19).
    Small trained heads, conditioned on the label, compute the logits of Eq. (18) from them.
    The frozen network is not a submodule: :meth:`to` moves it, but ``parameters()``,
    ``state_dict()``, ``train()`` and norm conversions skip it. Within a training step
    (:meth:`StageDiscriminators.step`) the features of an image are computed once and cached.

    Source:
        paper: SLNP-GAN, 1.3, Eq. (19) ("features from several layers of the discriminator"),
            which the paper derives from Johnson et al.'s perceptual loss [18].
        reference: Projected GANs, arXiv:2111.01007 (heads on frozen features at several strides,
            images upsampled to the resolution of the frozen network).
        ours: the heads and their conditioning on the label; the random upsampling factor.

    Args:
        num_classes (int): ``C``, without the unlabelled class.
        channels (int): Channels of the trained heads. Defaults to 64.
        embed_channels (int): Size of the class embeddings. Defaults to 64.
        grid_size (int): Side of the logit maps. Defaults to 8.
        upsample_factor (float | Sequence[float]): Upsampling factor, >= 1, for images whose
            shorter side is below :data:`IMAGENET_SIZE`; sides are rounded to multiples of 8. For
            a range (low, high), each training step draws a factor uniformly; outside training the
            mean is used. Defaults to 1.0.
        enlarge (None): Old name of ``upsample_factor``, rejected.

    Raises:
        SLNPError: If the weights of the frozen network are not installed, ``enlarge`` is given, or
            ``upsample_factor`` is below 1 or not a range.
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
                'upsample_factor must be a number >= 1 or a range (low, high) of such numbers, but '
                f'got {upsample_factor}.'
            )
        self.num_classes = num_classes
        self.grid_size = grid_size
        self.upsample_range = (low, high)
        self.end_step()
        self._frozen = (PretrainedFeatures(),)  # the tuple hides it from nn.Module
        self.embedding = LabelEmbedding(num_classes, embed_channels)
        self.heads = nn.ModuleList(DecisionHead(c, embed_channels, channels) for c in CHANNELS[1:])
        self._init_scales()
        self.to(memory_format=torch.channels_last)

    def _init_scales(self) -> None:
        """Preserve the variance through the heads; logits start near 0."""
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

    def start_step(self, factor: float | None = None) -> None:
        """Start caching features; upsample by ``factor`` if one was drawn."""
        self._remembered: dict[Tensor, list[Tensor]] | None = {}
        self._factor = factor or self._factor

    def end_step(self) -> None:
        """Drop the cached features; upsample by the mean of the range."""
        self._remembered = None
        self._factor = sum(self.upsample_range) / 2

    def frozen_size(self, size: Sequence[int]) -> tuple[int, int]:
        """Height and width in the frozen network of an image of ``size``."""
        if self._factor > 1 and min(size) < IMAGENET_SIZE:
            size = [int(round(self._factor * side / 8)) * 8 for side in size]
        return tuple(size)

    def forward(
        self, images: Sequence[Tensor], label: Tensor, detach: bool = False
    ) -> list[DiscriminatorOutput]:
        """Compute patch logits and features of batches of images of the same label maps.

        Args:
            images (Sequence[Tensor]): Batches, RGB, (B, 3, H, W), float32, [-1, 1].
            label (Tensor): Class indices, (B, H, W), int64, 0..C, ``C`` = unlabelled; H and W
                multiples of 4.
            detach (bool): Whether to stop the gradient to the images. Defaults to False.

        Returns:
            list[DiscriminatorOutput]: One per batch. Logits, (B, 4, grid_size, grid_size), one
            channel per stride; features: the image averaged 2x2, then the frozen features, finest
            first.
        """
        features = [self.features(image) for image in images]
        if detach:
            features = [[feature.detach() for feature in maps] for maps in features]
        logits = self._decide(features, label).chunk(len(images))
        return [DiscriminatorOutput(*pair) for pair in zip(logits, features)]

    def features(self, image: Tensor, label: Tensor | None = None) -> list[Tensor]:
        """Features of Eq. (19), independent of the label, cached per image within a step."""
        known = {} if self._remembered is None else self._remembered
        if image not in known:  # tensors hash by identity
            size, large = self.frozen_size(image.shape[-2:]), image
            if size != image.shape[-2:]:
                large = F.interpolate(image, size=size, mode='bilinear')
            known[image] = [F.avg_pool2d(image, 2), *self._frozen[0](large)]
        return known[image]

    def _decide(self, features: list[list[Tensor]], label: Tensor) -> Tensor:
        """Logits of all heads, one channel per stride, of the batches one after another."""
        # average embeddings over a grid that divides the label, then over that of each stride
        rows, columns = features[0][2].shape[-2:]
        if label.shape[1] % rows or label.shape[2] % columns:
            rows, columns = features[0][0].shape[-2:]
        embedded = concat([self.embedding.pooled(label, (rows, columns))] * len(features))
        decisions = []
        for head, maps in zip(self.heads, list(zip(*features))[2:]):
            feature = concat(maps)
            logits = head(feature, F.adaptive_avg_pool2d(embedded, feature.shape[-2:]))
            decisions.append(_to_grid(logits, self.grid_size))
        return torch.cat(decisions, 1)


def _body(channels: int) -> nn.Sequential:
    """Two 3x3 convolutions with leaky ReLUs before, between and after."""
    return nn.Sequential(
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
    )


def _to_grid(logits: Tensor, size: int) -> Tensor:
    """Average or repeat logits to a square grid."""
    if min(logits.shape[-2:]) >= size:
        return F.adaptive_avg_pool2d(logits, size)
    return F.interpolate(logits, size=(size, size), mode='nearest')
