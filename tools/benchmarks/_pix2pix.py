"""mmagic's Pix2Pix, timed beside our networks."""

from collections.abc import Callable
from typing import Any

import torch
from mmagic.registry import MODELS
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn


def build(channels: int, num_down: int = 8) -> nn.Module:
    """Build Pix2Pix as its base config does, for maps of more channels.

    Args:
        channels (int): Channels of the one-hot label map.
        num_down (int): Halvings of the U-Net. Defaults to 8.

    Returns:
        nn.Module: In training mode, as Pix2Pix also generates.
    """
    batch_norm = dict(type='BN')
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='Pix2Pix',
            data_preprocessor=dict(type='mmengine.BaseDataPreprocessor'),
            generator=dict(
                type='UnetGenerator',
                in_channels=channels,
                out_channels=3,
                num_down=num_down,
                norm_cfg=batch_norm,
                use_dropout=True,
            ),
            discriminator=dict(
                type='PatchDiscriminator',
                in_channels=channels + 3,
                norm_cfg=batch_norm,
            ),
            default_domain='photo',
            reachable_domains=['photo'],
            related_domains=['photo', 'mask'],
        )
    )
    return model.train()


def make_calls(model: nn.Module, channels: int, size: int) -> dict[str, Callable[[], Any]]:
    """Make the generation of an image and a training step as calls.

    The one-hot map is made beforehand: its cost is not Pix2Pix's.
    """
    MessageHub.get_current_instance().update_info('iter', 0)  # train_step reads it
    label = torch.randint(0, channels, (1, size, size))
    mask = nn.functional.one_hot(label, channels)
    mask = mask.permute(0, 3, 1, 2).float()
    inputs = dict(img_mask=mask, img_photo=torch.rand(1, 3, size, size))
    wrappers = OptimWrapperDict(
        **{
            name: OptimWrapper(
                torch.optim.Adam(
                    getattr(model, name).parameters(),
                    lr=2e-4,
                    betas=(0.5, 0.999),
                )
            )
            for name in ('generators', 'discriminators')
        }
    )
    data = dict(inputs=inputs, data_samples=None)
    return dict(
        peer_generate=torch.no_grad()(lambda: model.generators['photo'](mask)),
        peer_step=lambda: model.train_step(data, wrappers),
    )
