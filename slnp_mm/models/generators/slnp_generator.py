"""The multi-stage generator."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmagic.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...errors import SLNPError
from ..layers import ResBlock, region_counts, stride_ids


class GeneratorOutput(NamedTuple):
    """Output of :class:`SLNPGenerator`."""

    images: list[Tensor]  # one per stage, coarsest first, (B, 3, H, W) in [-1, 1]
    attention: list[Tensor]  # weights of each refiner, (B, N, T); empty unless requested


def classes_as_instances(label: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Treat all pixels of a class as one instance.

    Args:
        label (Tensor): Class indices, (B, H, W), int64, 0..C, ``C`` = unlabelled.
        num_classes (int): ``C``.

    Returns:
        tuple[Tensor, Tensor]: Instance ids (B, 1, H, W), -1..C-1, and their classes (B, C), -1
        for classes absent from the image.
    """
    ids = label.masked_fill(label == num_classes, -1)[:, None]
    classes = torch.arange(num_classes, device=label.device)
    present = region_counts(ids, (1, 1), num_classes)[..., 0] > 0
    return ids, torch.where(present, classes, -1)


@MODELS.register_module()
class SLNPGenerator(BaseModule):
    """Global generator followed by local refiners, each doubling the resolution.

    Source:
        paper: SLNP-GAN, 1.2, figs 1 and 5, Eq. (8)-(17).

    Args:
        num_classes (int): ``C``, without the unlabelled class.
        noise_shape (Sequence[int]): Channels, rows and columns of the noise.
        global_generator (dict): Config of :class:`SLNPGlobalGenerator`; ``num_classes`` and
            ``noise_channels`` are filled in.
        refiners (Sequence[dict]): Configs of :class:`SLNPLocalRefiner`, one per further stage;
            ``num_classes``, ``in_channels``, ``code_channels`` and ``attention`` are filled in.
            Defaults to none: a single stage.
        attention (bool): Whether the refiners use attention (ablation). Defaults to True.
        instance_pathway (bool): If False, all pixels of a class are one instance (ablation).
            Defaults to True.
        with_cp (bool): Whether to checkpoint the residual blocks: less memory, more time.
            Defaults to False.
    """

    def __init__(
        self,
        num_classes: int,
        noise_shape: Sequence[int],
        global_generator: dict,
        refiners: Sequence[dict] = (),
        attention: bool = True,
        instance_pathway: bool = True,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.noise_shape = tuple(noise_shape)
        self.instance_pathway = instance_pathway
        self.global_generator = MODELS.build(
            {**global_generator, 'num_classes': num_classes, 'noise_channels': self.noise_shape[0]}
        )
        self.refiners = nn.ModuleList()
        channels = self.global_generator.out_channels
        code_channels = self.global_generator.code_channels
        for cfg in refiners:
            self.refiners.append(
                MODELS.build(
                    {
                        **cfg,
                        'num_classes': num_classes,
                        'in_channels': channels,
                        'code_channels': code_channels,
                        'attention': attention,
                    }
                )
            )
            channels = self.refiners[-1].out_channels
        for module in self.modules():
            if isinstance(module, ResBlock):
                module.with_cp = with_cp
        # speeds up per-pixel lookups and convolutions, on CPU and GPU
        self.to(memory_format=torch.channels_last)

    @property
    def num_stages(self) -> int:
        """int: Number of images in the output."""
        return 1 + len(self.refiners)

    @property
    def size_divisor(self) -> int:
        """int: Divisor of the label map's height and width."""
        return 2 ** (self.global_generator.num_downs + len(self.refiners))

    def _check_inputs(self, label: Tensor, noise: Tensor) -> None:
        """Check that the strides divide the size and the noise has the right shape."""
        height, width = label.shape[-2:]
        if height % self.size_divisor or width % self.size_divisor:
            raise SLNPError(
                f'Expected a label map whose sides are multiples of {self.size_divisor}, but got '
                f'{height} x {width}; change image_size of the dataset.'
            )
        if tuple(noise.shape[1:]) != self.noise_shape:
            raise SLNPError(
                f'Expected noise of shape (B, {self.noise_shape}), but got {tuple(noise.shape)}.'
            )

    def forward(
        self,
        label: Tensor,
        instances: Tensor,
        instance_labels: Tensor,
        noise: Tensor,
        return_attention: bool = False,
        resample: dict[int, Tensor] | None = None,
    ) -> GeneratorOutput:
        """Generate one image per stage.

        Args:
            label (Tensor): Class indices at full resolution, (B, H, W), int64, 0..C,
                ``C`` = unlabelled.
            instances (Tensor): Layered instance ids, (B, K, H, W), int64, -1..T-1.
            instance_labels (Tensor): Class of each instance, (B, T), int64, -1 for empty slots.
            noise (Tensor): ``Z_np`` or white noise, (B, *noise_shape), float32.
            return_attention (bool): Whether to return attention weights. Defaults to False.
            resample (dict[int, Tensor], optional): New noise by instance, see
                :meth:`SLNPGlobalGenerator.encode`. Defaults to None.

        Raises:
            SLNPError: If a side is not a multiple of :attr:`size_divisor`, or the noise has
                another shape.
        """
        self._check_inputs(label, noise)
        if not self.instance_pathway:
            instances, instance_labels = classes_as_instances(label, self.num_classes)
        factor = 2 ** len(self.refiners)
        features, image, codes = self.global_generator(
            stride_ids(label, factor),
            stride_ids(instances, factor),
            instance_labels,
            noise,
            resample,
        )
        output = GeneratorOutput([image], [])
        for refiner in self.refiners:
            factor //= 2
            features, image, weights = refiner(
                stride_ids(label, factor),
                stride_ids(instances, factor),
                instance_labels,
                features,
                image,
                codes,
                return_attention,
            )
            output.images.append(image)
            if weights is not None:
                output.attention.append(weights)
        return output
