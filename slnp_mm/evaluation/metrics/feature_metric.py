"""Distances between the features of generated and real images."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from mmagic.registry import METRICS
from torch import Tensor

from ..functional.distances import feature_statistics, frechet_distance, kernel_distance
from ..scorers.inception import InceptionFeatures
from .base import PairedMetric


class FeatureMetric(PairedMetric):
    """Base of metrics on the features of both sets; a covariance needs two images."""

    NAMES: dict[str, str] = {}
    min_images = 2

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compute features of ``fake_img`` and ``gt_img``, (3, H, W), BGR 0..255."""
        fakes = self.images(data_samples, 'fake_img')  # may move the network to a GPU
        describe = partial(features_of, self.network)
        reals = self.once(describe, self.images(data_samples, 'gt_img'))
        for sample, *value in zip(data_samples, describe(fakes), reals):
            self.results.append((self.identity(sample), tuple(value)))

    def compute_metrics(self, results: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Distances over the set, from (generated, real) features, (D,), in data set order.

        Returns:
            dict[str, float]: Figures named by ``NAMES``, and those of :func:`split_half` after
            ``real/``.
        """
        fake, real = (torch.stack(side).numpy() for side in zip(*results))
        out = {self.NAMES[k]: round(v, 6) for k, v in distances(real, fake).items()}
        out |= {f'real/{self.NAMES[k]}': round(v, 6) for k, v in split_half(real).items()}
        self.last_report = dict(
            figures=dict(out), num_images=len(results), features=self.network.describe()
        )
        return out


@METRICS.register_module()
class SLNPFID(FeatureMetric):
    """FID and KID on Inception v3 features.

    Source:
        paper: Sec. 2.2, Eq. (25).
        reference: network of mmagic 1.2, see :class:`InceptionFeatures`.
        ours: paired with the validation images: the real set is exactly the images whose labels
            were used. The paper does not name its real set.

    Args:
        weights (str): Inception weights, see :class:`InceptionFeatures`.
        **kwargs: See :class:`PairedMetric`.
    """

    NAMES = dict(frechet='FID', kernel='KID', kernel_std='KID_std')

    def __init__(self, weights: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.weights = weights

    def build_network(self) -> InceptionFeatures:
        """Load Inception v3 from the file."""
        return InceptionFeatures(self.weights)


@METRICS.register_module()
class SLNPScorerFrechet(FeatureMetric):
    """The same distances on a scorer's features, never called FID.

    For machines without Inception weights. Figures are comparable only with the same scorer file.

    Args:
        scorer (dict): See :class:`DeepLabV3Scorer`.
        **kwargs: See :class:`PairedMetric`.
    """

    NAMES = {name: f'scorer_{name}' for name in SLNPFID.NAMES}

    def __init__(self, scorer: dict, **kwargs) -> None:
        super().__init__(**kwargs)
        self.scorer_cfg = dict(scorer)


def features_of(net: Any, images: list[np.ndarray]) -> list[Tensor]:
    """Features of images of any size, (D,) float32 each."""
    if len({image.shape for image in images}) > 1:
        return [net.features([image])[0] for image in images]
    return list(net.features(images))


def distances(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """All distances between feature sets, (N, D) and (M, D)."""
    out = dict(frechet=frechet_distance(feature_statistics(real), feature_statistics(fake)))
    out['kernel'], out['kernel_std'] = kernel_distance(real, fake)
    return out


def split_half(real: np.ndarray, draws: int = 4) -> dict[str, float]:
    """Distances between random halves of the real images, (N, D), averaged over ``draws``.

    No generator need be closer than that. Halves have N / 2 images, which raises a Frechet
    distance; a kernel distance has no such bias. Empty for fewer than four images.
    """
    half = len(real) // 2
    if half < 2:
        return {}
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        order = rng.permutation(len(real))
        found.append(distances(real[order[:half]], real[order[half : 2 * half]]))
    return {name: float(np.mean([row[name] for row in found])) for name in ('frechet', 'kernel')}
