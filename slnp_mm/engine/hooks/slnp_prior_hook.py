"""Loading a GAN's noise prior, and fitting the codes of a prior in training."""

import os
from pathlib import Path

import torch
from mmagic.registry import HOOKS
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from slnp_mm.checkpoint import last_checkpoint, read_checkpoint
from slnp_mm.errors import SLNPError


@HOOKS.register_module()
class SLNPPriorHook(Hook):
    """Load a GAN's noise prior; fit the codes of training images for checkpoints of a prior.

    A GAN that got its prior from a checkpoint (``load_from``, ``resume``) keeps it. For a prior
    with ``code_rank`` > 0, codes are fitted at each save. Other models are not affected.

    Source:
        ours: see :meth:`NoisePriorVAE.fit_codes`. Codes are fitted when saving because they must
            come from the encoder that is saved.

    Args:
        max_images (int): Maximum number of images, evenly spaced. Defaults to 4096.
        batch_size (int): Images per batch. Defaults to 32.
    """

    def __init__(self, max_images: int = 4096, batch_size: int = 32) -> None:
        self.max_images = max_images
        self.batch_size = batch_size

    def before_train(self, runner: Runner) -> None:
        """Load the prior of a GAN from ``prior_checkpoint``."""
        model = _unwrap(runner.model)
        prior = getattr(model, 'noise_prior', None)
        if prior is not None and not prior.is_trained:
            load_prior(prior, model.prior_checkpoint, runner.cfg.filename)

    @torch.no_grad()
    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Fit the codes and update the checkpoint with them."""
        prior = _unwrap(runner.model)
        if not getattr(prior, 'code_rank', 0):
            return
        dataset = runner.train_dataloader.dataset
        count = min(len(dataset), self.max_images)
        indices = [i * len(dataset) // count for i in range(count)]

        training = prior.training
        prior.eval()
        codes = []
        for start in range(0, count, self.batch_size):
            batch = pseudo_collate([dataset[i] for i in indices[start : start + self.batch_size]])
            image = prior.data_preprocessor(batch)['inputs']['img']
            codes.append(prior.encode(image)[0])
        prior.train(training)

        prior.fit_codes(torch.cat(codes))
        fitted = {k: v for k, v in prior.state_dict().items() if k.startswith('code_')}
        checkpoint['state_dict'].update({k: v.cpu() for k, v in fitted.items()})


def _unwrap(model: nn.Module) -> nn.Module:
    """Remove a distributed wrapper, if any."""
    return model.module if is_model_wrapper(model) else model


def load_prior(prior: nn.Module, source: str | None, gan_config: str | None = None) -> None:
    """Load a trained noise prior.

    Args:
        prior (nn.Module): :class:`NoisePriorVAE` to load into.
        source (str, optional): Checkpoint file, or a work directory to take the last one from.
        gan_config (str, optional): Path of the GAN's config, to find the prior's config by.

    Raises:
        SLNPError: If the checkpoint is missing or damaged, or has another architecture.
    """
    make = f'"python tools/train.py {prior_config(source, gan_config)}"'
    path = last_checkpoint(source) if source and os.path.isdir(source) else source
    if not path or not os.path.isfile(path):
        raise SLNPError(
            f'expected a trained noise prior at {source!r}, but there is none: train it with '
            f'{make}, or train without a prior (--cfg-options model.noise=random)'
        )
    stored = read_checkpoint(path)
    stored = stored.get('state_dict', stored)
    own = prior.state_dict()
    differing = [key for key in own if key not in stored or stored[key].shape != own[key].shape]
    if differing:
        raise SLNPError(
            f'expected a noise prior with the architecture in this config, but {path} differs in '
            f'{len(differing)} entries (first: {differing[0]}): train a matching one with {make}'
        )
    prior.load_state_dict({key: stored[key] for key in own})


def prior_config(source: str | None, gan_config: str | None = None) -> str:
    """Config named like a prior's work directory, next to the GAN's config or one folder up."""
    place = Path(source or '')
    name = place.parent.name if place.suffix == '.pth' else place.name
    for folder in [*Path(gan_config or '').parents][:2]:
        if name and (folder / f'{name}.py').is_file():
            return str(folder / f'{name}.py')
    return f'configs/{name or "noise_prior_<data>"}.py'
