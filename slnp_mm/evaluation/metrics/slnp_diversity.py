"""How much the image of one label changes with the noise."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmagic.registry import METRICS
from mmengine.dist import get_world_size

from ...errors import SLNPError
from ..functional.distances import pairwise_diversity
from ..functional.instance_color import instance_diversity
from .base import Identity, PairedMetric
from .feature_metric import features_of


class RepeatedLoader:
    """Repeat each batch of a loader, for the first ``num_images`` of this process."""

    def __init__(self, loader: Any, repeats: int, num_images: int) -> None:
        self.loader = loader
        self.repeats = repeats
        size = getattr(loader, 'batch_size', None) or 1
        self.batches = min(len(loader), -(-num_images // size))

    def __len__(self) -> int:
        return self.batches * self.repeats

    def __iter__(self) -> Iterator:
        for batch in itertools.islice(self.loader, self.batches):
            yield from itertools.repeat(batch, self.repeats)


@METRICS.register_module()
class SLNPDiversity(PairedMetric):
    """Mean pairwise distance over noises for one label.

    ``instance_diversity`` is the mean distance between the mean colors of an instance, over all
    instances and labels, after subtracting each image's mean color, in grey levels of 0..255: it
    stays 0 if noise changes only the overall tone. It needs ``instances`` in the inputs, from
    ``SLNPPackInputs``, and is left out without them.

    The metric needs its own pass over repeated batches, so it works only in mmagic's
    ``MultiValLoop``; the model must draw new noise at each call, as ``SLNPGAN`` does.

    Source:
        ours: the paper claims diversity but gives no figure.

    Args:
        scorer (dict): See :class:`DeepLabV3Scorer`; distances are on its features.
        num_noises (int): Images per label, >= 2.
        num_images (int): Number of labels, the first of the split, for any number of processes and
            batch size.
        **kwargs: See :class:`PairedMetric`.

    Raises:
        SLNPError: If ``num_noises`` is below 2.
    """

    SAMPLER_MODE = 'slnp_repeated'

    def __init__(self, scorer: dict, num_noises: int = 4, num_images: int = 32, **kwargs) -> None:
        super().__init__(**kwargs)
        if num_noises < 2:
            raise SLNPError(f'Expected num_noises >= 2, got {num_noises}.')
        self.num_noises = num_noises
        self.num_images = num_images
        self.scorer_cfg = dict(scorer)
        self._images: dict[Identity, list[np.ndarray]] = {}
        self._done: set[Identity] = set()

    def get_metric_sampler(self, model: Any, dataloader: Any, metrics: list[Any]) -> RepeatedLoader:
        """Each of the first batches, ``num_noises`` times."""
        self._images.clear()
        self._done.clear()
        share = -(-self.num_images // get_world_size())
        return RepeatedLoader(dataloader, self.num_noises, share)

    def _evaluate_parts(self, parts: Sequence[list], size: int | None):
        """Scores, or the text of an error for every process to raise."""
        if not any(parts):
            return (
                f'SLNPDiversity saw no label with all its {self.num_noises} images: it needs '
                "mmagic's MultiValLoop and Evaluator, which repeat each label."
            )
        return super()._evaluate_parts(parts, None)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Collect ``fake_img``, (3, H, W), BGR 0..255; measure a label once it has all its images.

        ``data_batch`` may have ``instances``, (K, H, W), and ``instance_labels``, (T,), per image.
        """
        images = self.images(data_samples, 'fake_img')
        instances = inputs_of(data_batch, 'instances', len(images))
        kinds = inputs_of(data_batch, 'instance_labels', len(images))
        for image, sample, ids, labels in zip(images, data_samples, instances, kinds):
            key = self.identity(sample)
            if key in self._done:
                continue
            self._images.setdefault(key, []).append(image)
            if len(self._images[key]) == self.num_noises:
                repeats = self._images.pop(key)
                moved = []
                if ids is not None:
                    found = np.unique(ids[ids >= 0])
                    classes = [-1 if labels is None else int(labels[i]) for i in found]
                    moved = list(zip(classes, instance_diversity(repeats, ids)))
                features = torch.stack(features_of(self.network, repeats)).numpy()
                self.results.append((key, (pairwise_diversity(features), moved)))
                self._done.add(key)

    def compute_metrics(
        self, results: list[tuple[float, list[tuple[int, float]]]]
    ) -> dict[str, float]:
        """Mean over the first labels, and over their instances; batches may bring extra labels.

        Args:
            results (list[tuple[float, list[tuple[int, float]]]]): Per label, the distance of its
                images, and class (-1: unknown) and distance of each instance.

        Returns:
            dict[str, float]: ``diversity_scorer``, and ``instance_diversity`` if there are
            instances. The report has the latter per class too.
        """
        results = results[: self.num_images]
        whole, moved = zip(*results)
        out = {'diversity_scorer': round(float(np.mean(whole)), 6)}

        by_class: dict[int, list[float]] = {}
        for kind, value in itertools.chain.from_iterable(moved):
            by_class.setdefault(kind, []).append(value)
        if by_class:
            out['instance_diversity'] = round(float(np.mean(sum(by_class.values(), []))), 6)
        names = (self.dataset_meta or {}).get('classes') or ()
        self.last_report = dict(
            figures=dict(out),
            num_images=len(results),
            per_class={
                name: dict(instance_diversity=round(float(np.mean(by_class[i])), 2))
                for i, name in enumerate(names)
                if i in by_class
            },
            features=dict(self.network.describe(), labels=len(results), num_noises=self.num_noises),
        )
        return out


def inputs_of(batch: Any, key: str, count: int) -> list[np.ndarray | None]:
    """One input for each image of a collated batch; None where it is absent."""
    inputs = batch.get('inputs') if isinstance(batch, dict) else None
    found = inputs.get(key) if isinstance(inputs, dict) else None
    if found is None:
        return [None] * count
    return [torch.as_tensor(value).cpu().numpy() for value in found]
