"""How much the picture of one label changes with the noise."""

from typing import Any, Dict, Iterator, List, Optional, Sequence, Set

import numpy as np
from mmagic.registry import METRICS

from ..functional.manifold import pairwise_diversity
from ..scorers.deeplabv3 import DeepLabV3Scorer
from ..scorers.lpips_distance import LPIPSDistance
from .base import Identity, PairedMetric
from .feature_metric import describe


class RepeatedLoader:
    """Each batch of a loader several times, for the first images only.

    Args:
        loader (DataLoader): The validation loader.
        repeats (int): How often each batch comes.
        num_images (int): Stop after so many images of this process.
    """

    def __init__(self, loader: Any, repeats: int, num_images: int) -> None:
        self.loader = loader
        self.repeats = repeats
        size = getattr(loader, 'batch_size', None) or 1
        self.batches = min(len(loader), -(-num_images // size))

    def __len__(self) -> int:
        return self.batches * self.repeats

    def __iter__(self) -> Iterator:
        for i, batch in enumerate(self.loader):
            if i >= self.batches:
                return
            for _ in range(self.repeats):
                yield batch


@METRICS.register_module()
class SLNPDiversity(PairedMetric):
    """Mean pairwise distance over noises for one label.

    It needs a pass of its own over repeated batches, so it works in
    mmagic's ``MultiValLoop`` only; the model must draw its noise anew at
    each call, as ``SLNPGAN`` does.

    Source:
        ours: the paper claims diversity but gives no figure. LPIPS over
            pairs follows Zhu et al., arXiv:1711.11586.

    Args:
        num_noises (int): Pictures of each label, >= 2. Defaults to 4.
        num_images (int): Labels, first ones of the split. Defaults to 32.
        scorer (dict, optional): See :class:`DeepLabV3Scorer`; distances on
            its features, named ``diversity_scorer``.
        lpips_weights (str, optional): AlexNet file; LPIPS in place of the
            scorer, named ``diversity_lpips``.
        collect_device (str): As in mmengine. Defaults to ``'cpu'``.
        prefix (str, optional): Put before each name. Defaults to None.

    Raises:
        ValueError: If ``num_noises`` is below 2, or neither or both of
            ``scorer`` and ``lpips_weights`` are given.
    """

    SAMPLER_MODE = 'slnp_repeated'

    def __init__(
        self,
        num_noises: int = 4,
        num_images: int = 32,
        scorer: Optional[dict] = None,
        lpips_weights: Optional[str] = None,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if num_noises < 2:
            raise ValueError(f'Expected num_noises >= 2, got {num_noises}.')
        if (scorer is None) == (lpips_weights is None):
            raise ValueError(
                'Expected either `scorer` or `lpips_weights`, '
                'got both or neither.'
            )
        self.num_noises = num_noises
        self.num_images = num_images
        self.scorer_cfg = None if scorer is None else dict(scorer)
        self.lpips_weights = lpips_weights
        self.last_report: Optional[dict] = None
        self._net: Any = None
        self._images: Dict[Identity, List[np.ndarray]] = {}
        self._done: Set[Identity] = set()

    @property
    def net(self) -> Any:
        """The network that measures distance, built at first use."""
        if self._net is None:
            self._net = (
                LPIPSDistance(self.lpips_weights)
                if self.scorer_cfg is None
                else DeepLabV3Scorer(**self.scorer_cfg)
            )
        return self._net.to(self.device)

    def get_metric_sampler(
        self, model: Any, dataloader: Any, metrics: List[Any]
    ) -> RepeatedLoader:
        """Each of the first batches ``num_noises`` times."""
        self._images.clear()
        self._done.clear()
        return RepeatedLoader(dataloader, self.num_noises, self.num_images)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the pictures; measure a label once it has all of them.

        Args:
            data_batch (Any): Unused.
            data_samples (Sequence[dict]): Each with ``fake_img`` (3, H, W),
                BGR 0..255, and an identity.
        """
        images = self.images(data_samples, 'fake_img')
        for image, sample in zip(images, data_samples):
            key = self.identity(sample)
            if key in self._done:
                continue
            self._images.setdefault(key, []).append(image)
            if len(self._images[key]) == self.num_noises:
                distance = self._measure(self._images.pop(key))
                self.results.append((key, distance))
                self._done.add(key)

    def compute_metrics(self, results: List[float]) -> Dict[str, float]:
        """Mean over the labels.

        Args:
            results (List[float]): One distance a label.

        Returns:
            Dict[str, float]: ``diversity_scorer`` or ``diversity_lpips``.
        """
        name = 'scorer' if self.scorer_cfg is not None else 'lpips'
        out = {f'diversity_{name}': round(float(np.mean(results)), 6)}
        self.last_report = dict(
            figures=out,
            num_images=len(results),
            extractor=dict(
                self._net.describe(),
                labels=len(results),
                num_noises=self.num_noises,
            ),
        )
        return out

    def _measure(self, images: List[np.ndarray]) -> float:
        if self.scorer_cfg is None:
            return self.net.mean_distance(images)
        rows = [row.numpy() for row in describe(self.net, images)]
        return pairwise_diversity(np.stack(rows))
