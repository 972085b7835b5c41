"""Base class of all metrics of this package."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, broadcast_object_list, get_world_size, is_main_process
from mmengine.evaluator import BaseMetric
from torch import nn
from torch.utils.data import DataLoader

from ...errors import SLNPError
from ..functional.images import to_uint8
from ..scorers.base import Scorer
from ..scorers.deeplabv3 import DeepLabV3Scorer

Identity = tuple[Any, ...]


class PairedMetric(BaseMetric):
    """Metric over (generated, real) pairs, exact under any launcher.

    It runs in mmagic's ``MultiValLoop`` with mmagic's ``Evaluator``, and in mmengine's ``ValLoop``
    with mmengine's, on the unchanged validation loader. In distributed runs the sampler repeats
    images so that every process gets the same number; results are keyed by image, so each counts
    once.

    Source:
        reference: mmagic 1.2, ``GenMetric`` builds a second loader without workers and takes images
            modulo the count, so an image may count twice; mmengine's ``collect_results`` cuts by
            position.
        ours: keyed by (sample index, image path), sorted into data set order.

    Attributes:
        last_report (dict or None): Report entries of the last evaluation, set by
            ``compute_metrics``: ``figures`` and ``num_images``; ``features``, a description of the
            network, or ``protocol`` entries; ``per_class``, figures by class and name. Names carry
            ``prefix``, to tell metrics of one kind apart.

    Args:
        **kwargs: As in mmengine; ``prefix`` (str, optional) is put before each name.
    """

    # Metrics with this mode share one pass; mmagic's 'normal' mode would pass another metric's
    # loader, possibly an empty one.
    SAMPLER_MODE = 'slnp_paired'
    min_images = 1
    sample_model = 'orig'

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.device = torch.device('cpu')
        self.last_report: dict | None = None
        self._network: Scorer | None = None
        self._seen: dict[str, Any] = {}  # values by content, kept for the next validation

    def build_network(self) -> Scorer:
        """Build the scorer of ``scorer_cfg``."""
        return DeepLabV3Scorer(**self.scorer_cfg)

    @property
    def network(self) -> Any:
        """The scorer, built at first use.

        Its initialization leaves the run's random numbers untouched, so that generated images do
        not depend on the metrics.
        """
        if self._network is None:
            with torch.random.fork_rng(devices=[]):
                self._network = self.build_network()
        return self._network.to(self.device)

    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """Move to the model's device; called by mmagic's Evaluator before the first image.

        The network is built here, so that errors come early.
        """
        parameter = next(iter(module.parameters()), None)
        if parameter is not None:
            self.device = parameter.device
        self.network  # noqa: B018

    def get_metric_sampler(
        self, model: nn.Module, dataloader: DataLoader, metrics: list[Any]
    ) -> Iterable:
        """Return the validation loader itself."""
        return dataloader

    def evaluate(self, size: int | None = None) -> dict[str, float]:
        """Collect the results of all processes, each image once; the same on every process.

        Args:
            size (int, optional): Number of images of the data set, checked; from mmengine's
                Evaluator.

        Raises:
            SLNPError: If no image was seen, or another number than ``size``.
        """
        parts = all_gather_object(list(self.results))
        self.results.clear()
        output: list[dict | None] = [None]
        if is_main_process():
            output = [self._evaluate_parts(parts, size)]
        broadcast_object_list(output)
        if isinstance(output[0], str):
            raise SLNPError(output[0])
        return output[0]

    def _evaluate_parts(self, parts: Sequence[list], size: int | None):
        """Scores, or the text of an error for every process to raise."""
        merged: dict[Identity, Any] = {}
        for key, result in itertools.chain.from_iterable(parts):
            merged.setdefault(key, result)
        results = [merged[key] for key in sorted(merged)]
        if not results:
            return f'{type(self).__name__} got no image: the validation loader is empty.'
        if size is not None and len(results) != size:
            return (
                f'{type(self).__name__} expected {size} images, got {len(results)} different ones.'
            )
        if len(results) < self.min_images:
            return (
                f'{type(self).__name__} needs at least {self.min_images} images, got '
                f'{len(results)}: add images, or leave this metric out of the evaluator.'
            )
        metrics = self.compute_metrics(results)
        if self.prefix:
            metrics = self._prefixed(metrics)
            for part in ('figures', 'per_class', 'protocol'):
                self.last_report[part] = self._prefixed(self.last_report.get(part, {}))
        return metrics

    def _prefixed(self, entries: dict[str, Any]) -> dict[str, Any]:
        return {f'{self.prefix}/{k}': v for k, v in entries.items()}

    def identity(self, sample: dict) -> Identity:
        """Key of an image; the sample index comes first, so that keys sort."""
        index, path = sample.get('sample_idx'), sample.get('img_path')
        if index is None and path is None:
            if get_world_size() > 1:
                raise SLNPError(
                    'Expected `sample_idx` or `img_path` in the data samples of a distributed run, '
                    'got neither: add them to `meta_keys` of the packing transform.'
                )
            return (len(self.results), '')
        return (-1 if index is None else int(index), str(path or ''))

    def images(self, samples: Sequence[dict], key: str) -> list[np.ndarray]:
        """Quantized images of a batch, (H, W, 3) uint8 BGR each.

        The metric's network follows images on a GPU: mmengine's ``ValLoop`` does not call
        :meth:`prepare`.

        Raises:
            SLNPError: If a sample has no such image.
        """
        tensors = [self.field(sample, key) for sample in samples]
        if tensors and tensors[0].device.type != 'cpu':
            self.device = tensors[0].device
        return [to_uint8(tensor) for tensor in tensors]

    def field(self, sample: dict, key: str) -> torch.Tensor:
        """Tensor in a data sample's field (``PixelData`` comes as a dict)."""
        value = sample.get(key)
        if value is None:
            raise SLNPError(
                f'{type(self).__name__} expected `{key}` in each data sample, got {sorted(sample)}.'
            )
        return value['data'] if isinstance(value, dict) else value

    def once(self, compute: Callable[..., Sequence], *columns: list) -> list:
        """Rows of ``compute(*columns)``; rows seen before are not computed again."""
        keys = [content_key(row) for row in zip(*columns)]
        todo = [i for i, key in enumerate(keys) if key not in self._seen]
        if todo:
            values = compute(*([column[i] for i in todo] for column in columns))
            self._seen.update(zip([keys[i] for i in todo], values))
        return [self._seen[key] for key in keys]


def content_key(arrays: Iterable[np.ndarray | torch.Tensor]) -> str:
    """Digest of the shapes and values of arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for array in map(np.asarray, arrays):
        digest.update(str(array.shape).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
