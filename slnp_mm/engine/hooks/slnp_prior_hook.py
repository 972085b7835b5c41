"""Load the noise prior of a GAN; fit the codes of a noise prior that is trained."""

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
    """Load a GAN's noise prior, and fit the codes of the training images into a saved prior.

    A GAN whose checkpoint (``load_from``, ``resume``) brought a prior keeps that one. Codes are
    fitted into each checkpoint of a prior whose ``code_rank`` is above 0. Other models are left
    alone.

    Source:
        ours: see :meth:`NoisePriorVAE.fit_codes`. The codes are those of the encoder that is
            saved, so they are taken when it is saved.

    Args:
        max_images (int): Most images, evenly spread over the set. Defaults to 4096.
        batch_size (int): Images at once. Defaults to 32.
    """

    def __init__(self, max_images: int = 4096, batch_size: int = 32) -> None:
        self.max_images = max_images
        self.batch_size = batch_size

    def before_train(self, runner: Runner) -> None:
        """Load the prior of a GAN from ``prior_checkpoint``.

        Raises:
            SLNPError: If there is none, or it is damaged or of another architecture.
        """
        model = _unwrap(runner.model)
        prior = getattr(model, 'noise_prior', None)
        if prior is not None and not prior.is_trained:
            load_prior(prior, model.prior_checkpoint, runner.cfg.filename)

    @torch.no_grad()
    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Fit, and put what was fitted into the checkpoint.

        Raises:
            ValueError: If the set has too few images for the prior's ``code_rank``.
        """
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
    """The model inside a distributed wrapper, or the model itself."""
    return model.module if is_model_wrapper(model) else model


def load_prior(prior: nn.Module, source: str | None, gan_config: str | None = None) -> None:
    """Load a trained noise prior.

    Args:
        prior (nn.Module): :class:`NoisePriorVAE` that takes the weights.
        source (str, optional): Checkpoint file, or a work directory whose last checkpoint is taken.
        gan_config (str, optional): Path of the GAN's config, beside which that of the prior lies.

    Raises:
        SLNPError: If there is no such checkpoint, or it is damaged or of another architecture.
    """
    make = f'"python tools/train.py {prior_config(source, gan_config)}"'
    path = last_checkpoint(source) if source and os.path.isdir(source) else source
    if not path or not os.path.isfile(path):
        raise SLNPError(
            f'expected a trained noise prior at {source!r}, but there is none: make it with '
            f'{make}, or train without it by --cfg-options model.noise=random'
        )
    stored = read_checkpoint(path)
    stored = stored.get('state_dict', stored)
    own = prior.state_dict()
    differing = [key for key in own if key not in stored or stored[key].shape != own[key].shape]
    if differing:
        raise SLNPError(
            f'expected a noise prior of the architecture in this config, but {path} differs in '
            f'{len(differing)} entries (first: {differing[0]}): make a fitting one with {make}'
        )
    prior.load_state_dict({key: stored[key] for key in own})


def prior_config(source: str | None, gan_config: str | None = None) -> str:
    """Name the config of a noise prior: its work directory has the name of its config.

    It is looked for beside the GAN's config and in the folder above.
    """
    place = Path(source or '')
    name = place.parent.name if place.suffix == '.pth' else place.name
    for folder in [*Path(gan_config or '').parents][:2]:
        if name and (folder / f'{name}.py').is_file():
            return str(folder / f'{name}.py')
    return f'configs/{name or "noise_prior_<data>"}.py'
