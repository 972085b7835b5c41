"""Discriminator conditioned on the label."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmagic.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...errors import SLNPError
from ..layers import LabelEmbedding

NORMS = ('instance', 'none')


class DiscriminatorOutput(NamedTuple):
    """Output of a discriminator for one stage."""

    logits: Tensor  # patch logits, (B, 1, h', w')
    features: list[Tensor]  # of Eq. (19), finest first


def concat(batches: Sequence[Tensor]) -> Tensor:
    """Batches one after another; without a copy if there is only one."""
    return torch.cat(batches) if len(batches) > 1 else batches[0]


@MODELS.register_module()
class SLNPDiscriminator(BaseModule):
    """Patch discriminator ``D_img`` for one resolution.

    The image is concatenated with the embedded label and downsampled ``num_layers`` times. The
    label vector ``V_label`` passes through a linear layer, is tiled and concatenated with the
    features, from which the patch logits are computed.

    Source:
        paper: SLNP-GAN, 1.3, fig. 7.
        ours: ``V_label`` is the mean class embedding over the map; 4x4 stride-2 convolutions, so
            that all input pixels have equal weight.

    Args:
        num_classes (int): ``C``, without the unlabelled class.
        base_channels (int): Channels after the first layer, doubled by each further one.
            Defaults to 64.
        max_channels (int): Maximum number of channels. Defaults to 512.
        num_layers (int): Number of stride-2 layers, >= 1. Defaults to 4.
        embed_channels (int): Size of the class embeddings. Defaults to 32.
        norm (str): 'instance' or 'none'. Defaults to 'instance'.

    Raises:
        SLNPError: If ``norm`` is unknown.
    """

    def __init__(
        self,
        num_classes: int,
        base_channels: int = 64,
        max_channels: int = 512,
        num_layers: int = 4,
        embed_channels: int = 32,
        norm: str = 'instance',
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise SLNPError(f'norm must be one of {NORMS}, but got {norm!r}.')
        self.num_classes = num_classes
        self.embedding = LabelEmbedding(num_classes, embed_channels)
        self.layers = nn.ModuleList()
        channels = 3 + embed_channels
        for index in range(num_layers):
            width = min(base_channels * 2**index, max_channels)
            layer = [nn.Conv2d(channels, width, 4, 2, 1)]
            if norm == 'instance' and index > 0:
                layer.append(nn.InstanceNorm2d(width))
            self.layers.append(nn.Sequential(*layer, nn.LeakyReLU(0.2, inplace=True)))
            channels = width
        self.label_fc = nn.Linear(embed_channels, channels)
        self.join = nn.Conv2d(2 * channels, channels, 1)
        self.decide = nn.Conv2d(channels, 1, 3, padding=1)
        self.act = nn.LeakyReLU(0.2, inplace=True)
        self._init_scales()
        self.to(memory_format=torch.channels_last)

    def _init_scales(self) -> None:
        """Preserve the variance through the layers.

        Class embeddings start at unit length, like one-hot vectors; longer ones drown the image.
        PyTorch's default init halves the features in each layer, and with them Eq. (19).
        """
        nn.init.normal_(self.embedding.weight, std=self.embedding.embedding_dim**-0.5)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, a=0.2)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.decide.weight, std=0.02)

    def _check_size(self, image: Tensor) -> None:
        """Refuse images too small for the last layer, or for its instance norm."""
        halvings = len(self.layers)
        height, width = (side >> halvings for side in image.shape[-2:])
        norms = any(isinstance(module, nn.InstanceNorm2d) for module in self.layers.modules())
        if height * width < 1 + norms:
            raise SLNPError(
                f'Expected images of at least {2 ** (halvings + 1)} pixels per side for a '
                f'discriminator with {halvings} layers, but got {image.shape[-2]} x '
                f"{image.shape[-1]}; set the dataset's image_size to a larger multiple of "
                "that, or lower the discriminator's num_layers."
            )

    def forward(
        self, images: Sequence[Tensor], label: Tensor, detach: bool = False
    ) -> list[DiscriminatorOutput]:
        """Compute patch logits and features of batches of images of the same label maps.

        Args:
            images (Sequence[Tensor]): Batches, (B, 3, H, W), float32, [-1, 1].
            label (Tensor): Class indices, (B, H, W), int64, 0..C, ``C`` = unlabelled.
            detach (bool): Whether to stop the gradient to the images. Defaults to False.

        Returns:
            list[DiscriminatorOutput]: One per batch: logits (B, 1, H / 2^n, W / 2^n) and the
            features of every layer.

        Raises:
            SLNPError: If the images are too small for the layers.
        """
        image, num = concat(images), len(images)
        self._check_size(image)
        if detach:
            image = image.detach()
        embedded = self.embedding(label)
        x = torch.cat([image, concat([embedded] * num).to(image.dtype)], 1)
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        tiled = self.label_fc(embedded.mean((2, 3)))  # V_label
        tiled = concat([tiled] * num)[..., None, None].expand_as(x)
        x = self.act(self.join(torch.cat([x, tiled], 1)))
        parts = zip(*(tensor.chunk(num) for tensor in (self.decide(x), *features)))
        return [DiscriminatorOutput(logits, maps) for logits, *maps in parts]

    def features(self, image: Tensor, label: Tensor) -> list[Tensor]:
        """Features of Eq. (19) alone; see :meth:`forward`."""
        return self([image], label)[0].features
