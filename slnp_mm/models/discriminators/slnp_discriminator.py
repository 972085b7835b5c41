"""Discriminators of image and label."""

from typing import NamedTuple

import torch
from mmagic.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...errors import SLNPError
from ..layers import LabelEmbedding

NORMS = ('instance', 'none')


class DiscriminatorOutput(NamedTuple):
    """What a discriminator returns for one stage.

    Args:
        logits (Tensor): Decision map before the sigmoid, (B, 1, h', w').
        features (list[Tensor]): Intermediate features for Eq. (19), finest first.
    """

    logits: Tensor
    features: list[Tensor]


@MODELS.register_module()
class SLNPDiscriminator(BaseModule):
    """Discriminator ``D_img`` of one resolution.

    Image and embedded label are joined and halved ``num_layers`` times;
    the label's embedding vector ``V_label`` goes through a fully connected
    layer, is tiled, joined to the features, and a decision map follows.

    Source:
        paper: SLNP-GAN, 1.3, fig. 7.
        ours: ``V_label`` is the mean class vector of the map; 4x4 stride-2
            convolutions, so that every input pixel weighs alike.

    Args:
        num_classes (int): ``C``, without the unlabelled channel.
        base_channels (int): Channels after the first halving, doubled with
            every further one. Defaults to 64.
        max_channels (int): Upper bound of channels. Defaults to 512.
        num_layers (int): Halvings, >= 1. Defaults to 4.
        embed_channels (int): Length of class vectors. Defaults to 32.
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
        """Keep the variance of image and features through the layers.

        Class vectors start at unit length, as a one-hot vector has: longer ones drown the image.
        PyTorch's default weights shrink the features by half a layer, and with them Eq. (19).
        """
        nn.init.normal_(self.embedding.weight, std=self.embedding.embedding_dim**-0.5)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, a=0.2)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.decide.weight, std=0.02)

    def _check_size(self, image: Tensor) -> None:
        """Refuse images that leave the last layer no pixel, or one where a norm needs more."""
        halvings = len(self.layers)
        height, width = (side >> halvings for side in image.shape[-2:])
        norms = any(isinstance(module, nn.InstanceNorm2d) for module in self.layers.modules())
        if height * width < 1 + norms:
            raise SLNPError(
                f'Expected images of {2 ** (halvings + 1)} pixels a side or more for a '
                f'discriminator of {halvings} layers, but its stage has {image.shape[-2]} x '
                f'{image.shape[-1]}; set image_size of the data set to a larger multiple of '
                'that, or lower num_layers of the discriminator.'
            )

    def forward(self, image: Tensor, label: Tensor, detach: bool = False) -> DiscriminatorOutput:
        """Judge images under their labels.

        Args:
            image (Tensor): (B, 3, H, W), float32, [-1, 1].
            label (Tensor): Class indices, (B, H, W), int64, 0..C, ``C`` = unlabelled.
            detach (bool): Whether no gradient may reach the image. Defaults to False.

        Returns:
            DiscriminatorOutput: Logits (B, 1, H / 2^n, W / 2^n) and the
            features of every halving.

        Raises:
            SLNPError: If the image is too small for the layers.
        """
        self._check_size(image)
        if detach:
            image = image.detach()
        embedded = self.embedding(label)
        x = torch.cat([image, embedded.to(image.dtype)], 1)
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        tiled = self.label_fc(embedded.mean((2, 3)))  # V_label
        tiled = tiled[..., None, None].expand_as(x)
        x = self.act(self.join(torch.cat([x, tiled], 1)))
        return DiscriminatorOutput(self.decide(x), features)

    def features(self, image: Tensor, label: Tensor) -> list[Tensor]:
        """Features of Eq. (19) alone; see :meth:`forward`."""
        return self(image, label).features
