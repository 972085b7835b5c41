"""What a noise prior has learned."""

from collections.abc import Sequence
from typing import Any

import torch
from mmagic.registry import METRICS
from torch import nn
from torch.utils.data import DataLoader

from .base import PairedMetric


@METRICS.register_module()
class SLNPPriorMetric(PairedMetric):
    """Figures of a :class:`NoisePriorVAE`.

    - ``active_units``: share of latent units whose posterior mean varies over the images;
    - ``kl_per_unit``: KL distance of the posterior from N(0, 1), nats per latent unit;
    - ``recon_mae``: mean absolute error of the posterior mean's reconstruction;
    - ``sample_std``: standard deviation over samples, mean over pixels. Both are in units of an
      image in [-1, 1]; a collapsed prior has few active units and a ``sample_std`` near 0.

    Args:
        **kwargs: See :class:`PairedMetric`.
    """

    min_images = 2
    num_samples = 64  # for ``sample_std``, at most one per image

    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """No scorer is needed."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep each image's posterior mean and figures, and the first samples.

        Samples have ``code_mean`` and ``code_log_var`` of the latent's shape, and ``fake_img`` (the
        reconstruction), ``gt_img`` and ``sampled_img``, (3, H, W), BGR in [0, 255].
        """
        names = ('code_mean', 'code_log_var', 'fake_img', 'gt_img', 'sampled_img')
        for sample in data_samples:
            mean, log_var, fake, real, sampled = (self.field(sample, name).cpu() for name in names)
            kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).double().mean()
            error = (fake - real).abs().double().mean() / 127.5
            kept = sampled if len(self.results) < self.num_samples else None
            self.results.append((self.identity(sample), (mean, float(kl), float(error), kept)))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Figures over all images; see the class."""
        from ...models.vaes import active_share  # models are imported when one is looked up

        means, kl, errors, samples = zip(*results)
        kept = [sample for sample in samples if sample is not None][: self.num_samples]
        figures = dict(
            active_units=float(active_share(torch.stack(means))),
            kl_per_unit=sum(kl) / len(kl),
            recon_mae=sum(errors) / len(errors),
            sample_std=float(torch.stack(kept).std(0).mean()) / 127.5,
        )
        figures = {name: round(value, 6) for name, value in figures.items()}
        protocol = dict(latent_shape=list(means[0].shape), num_samples=len(kept))
        self.last_report = dict(figures=figures, num_images=len(results), protocol=protocol)
        return dict(figures)
