"""Figures and pictures of a trained noise prior."""

from __future__ import annotations

import copy

import numpy as np
import torch
from mmagic.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset

from slnp_mm.checkpoint import check_checkpoint
from slnp_mm.datasets.wrappers import part_configs
from slnp_mm.errors import SLNPError
from slnp_mm.evaluation.functional.grid import make_grid
from slnp_mm.evaluation.functional.images import to_uint8
from slnp_mm.inferencer import SKIPPED

BATCH = 32
# Steps that the prior does not need, or that change the picture at random.
_LEFT_OUT = {*SKIPPED, 'SLNPLoadInstances'} - {'SLNPLoadImage'}


def build_prior(cfg: Config, checkpoint: str) -> tuple[nn.Module, nn.Module]:
    """Build the prior of a config, in evaluation mode, and the data preprocessor; load the weights.

    Args:
        cfg (Config): Config of a noise prior, or of a GAN with one.
        checkpoint (str): Checkpoint of that config.

    Raises:
        SLNPError: If the config has no prior or the checkpoint does not fit.
    """
    init_default_scope('mmagic')
    model = MODELS.build(cfg.model)
    prior = getattr(model, 'noise_prior', model)
    if not hasattr(prior, 'shape_noise'):
        raise SLNPError(f'{cfg.filename} has no noise prior; use configs/noise_prior_*.py')
    check_checkpoint(checkpoint, model)
    load_checkpoint(model, checkpoint, map_location='cpu')
    return prior.eval(), model.data_preprocessor


def training_set(cfg: Config) -> Dataset:
    """Build the training set of a config, pictures only and none changed at random."""
    cfg = copy.deepcopy(cfg.train_dataloader.dataset)
    for part in part_configs(cfg):
        part['pipeline'] = [
            dict(step, keys=('img', 'label')) if step['type'] == 'SLNPPackInputs' else step
            for step in part['pipeline']
            if step['type'] not in _LEFT_OUT
        ]
    return DATASETS.build(cfg)


def read_images(dataset: Dataset, preprocessor: nn.Module, num_images: int) -> Tensor:
    """Read at least two and at most ``num_images`` images evenly spread over a set.

    Returns:
        Tensor: (N, 3, H, W), float32, [-1, 1].

    Raises:
        SLNPError: If there would be fewer than two.
    """
    count = min(num_images, len(dataset))
    if count < 2:
        raise SLNPError(
            f'a report needs at least 2 images, but got {count}: raise '
            '--num-images, or add images to the data set'
        )
    chosen = Subset(dataset, [i * len(dataset) // count for i in range(count)])
    batches = DataLoader(chosen, BATCH, collate_fn=pseudo_collate)
    return torch.cat([preprocessor(batch)['inputs']['img'] for batch in batches])


@torch.no_grad()
def report_prior(prior: nn.Module, images: Tensor, num_samples: int) -> tuple[dict, list[Tensor]]:
    """Measure the prior.

    Args:
        prior (nn.Module): :class:`NoisePriorVAE` in evaluation mode.
        images (Tensor): (N, 3, H, W), float32, [-1, 1], N >= 2.
        num_samples (int): Samples for the spread, and columns of the picture, >= 2.

    Returns:
        dict: ``active_units`` in [0, 1], by the model's own rule over these images;
        ``kl_per_unit``, nats; ``recon_mae``, of the posterior mean's reconstruction, and
        ``sample_std``, both in image units ([-1, 1]).
        list[Tensor]: Real images, reconstructions and samples ``x_hat``, (n, 3, size, size) each,
        BGR in [0, 255].
    """
    from slnp_mm.models.vaes import active_share

    images = F.adaptive_avg_pool2d(images, prior.image_size)
    means, recons, kl = [], [], 0.0
    for part in images.split(BATCH):
        mean, log_var = prior.encode(part)
        means.append(mean)
        recons.append(prior.decode(mean))
        units = 0.5 * (mean.square() + log_var.exp() - 1 - log_var)
        kl += float(units.double().mean(tuple(range(1, units.dim()))).sum())
    recons = torch.cat(recons)
    z = torch.randn(num_samples, *prior.latent_shape)
    samples = prior.decode(prior.sample_codes(z))
    figures = dict(
        num_images=len(images),
        latent_shape=list(prior.latent_shape),
        active_units=float(active_share(torch.cat(means))),
        kl_per_unit=kl / len(images),
        recon_mae=float((recons - images).abs().mean()),
        sample_std=float(samples.std(0).mean()),
    )
    rows = [x[:num_samples] for x in (images, recons, samples)]
    return figures, [((x + 1) * 127.5).clamp(0, 255).flip(1) for x in rows]


def draw_rows(rows: list[Tensor]) -> np.ndarray:
    """Lay the pictures of :func:`report_prior` out: (H, W, 3), RGB, uint8."""
    columns = min(map(len, rows))
    pictures = [[to_uint8(x) for x in row[:columns]] for row in rows]
    return make_grid(pictures, cell_size=96)[..., ::-1]
