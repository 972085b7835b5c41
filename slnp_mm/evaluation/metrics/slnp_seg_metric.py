"""Segmentation scores of generated images next to those of the real images."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from mmagic.registry import METRICS
from mmengine.logging import print_log
from torch import Tensor

from ...datasets.coco_stuff import NUM_COCO_RAW, coco_raw_to_train
from ...datasets.codec import UNLABELLED
from ...errors import SLNPError
from ..scorers import areas_of, scores_of
from .base import PairedMetric

Areas = Tensor  # (4, C) float32: intersection, union, prediction, label
SCORES = dict(PA='aAcc', mIoU='IoU', mAcc='Acc')  # by mmseg's names


@METRICS.register_module()
class SLNPSegMetric(PairedMetric):
    """PA, mIoU and mAcc of generated images by an mmseg scorer.

    Real images go through the same code in the same run: their figures are the scorer's ceiling.

    Source:
        paper: Sec. 2.2, Eqs. (23) and (24), DeepLabV3.
        reference: mmseg 1.2 ``IoUMetric`` for every figure.
        ours: quantization to uint8, resize filter, ceiling, class map; the paper specifies none of
            them.

    Args:
        scorer (dict): ``config`` and optional ``checkpoint``, ``input_size``, ``resize_filter``,
            see :class:`DeepLabV3Scorer`.
        class_map (Sequence[int] or str, optional): Scorer id of each class of the data set;
            ``'coco'`` for 182 -> 171; ``None`` when both are the same.
        **kwargs: See :class:`PairedMetric`.
    """

    def __init__(
        self, scorer: dict, class_map: Sequence[int] | str | None = None, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.scorer_cfg = dict(scorer)
        self.class_map = class_map

    @cached_property
    def _table(self) -> Tensor | None:
        """Scorer id of each data set id, (256,) int64; None where both are the same."""
        scorer_classes, class_map = self.network.num_classes, self.class_map
        if isinstance(class_map, str):
            class_map = named_class_map(class_map)
        known = (self.dataset_meta or {}).get('classes') or class_map
        count = scorer_classes if known is None else len(known)
        return build_class_map(class_map, count, scorer_classes)

    def prepare(self, module: torch.nn.Module, dataloader: Any) -> None:
        """See :class:`PairedMetric`; also refuse classes that do not fit the scorer."""
        super().prepare(module, dataloader)
        self.dataset_meta = self.dataset_meta or getattr(dataloader.dataset, 'metainfo', None)
        self._table  # noqa: B018

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Score one batch.

        Args:
            data_batch (Any): Unused.
            data_samples (Sequence[dict]): Each with ``fake_img`` and ``gt_img`` (3, H, W), BGR
                0..255, and ``gt_sem_seg`` (h, w) int64, data set ids.
        """
        fakes = self.images(data_samples, 'fake_img')
        reals = self.images(data_samples, 'gt_img')
        labels = [self._label(sample) for sample in data_samples]
        fake_areas = self._score(fakes, labels)
        real_areas = self.once(self._score, reals, labels)
        for sample, fake, label, *areas in zip(data_samples, fakes, labels, fake_areas, real_areas):
            ignored = int((label == UNLABELLED).sum())
            value = (*areas, ignored, label.numel(), fake.shape[:2])
            self.results.append((self.identity(sample), value))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Scores of the whole set.

        Returns:
            dict[str, float]: ``PA``, ``mIoU``, ``mAcc`` of the generated images, ``real/...`` of
            the real ones, in percent rounded to two digits as in mmseg, and ``share/PA``,
            ``share/mIoU``: percent of the ceiling reached.
        """
        fake, real, ignored, pixels, shapes = zip(*results)
        names = (self.dataset_meta or {}).get('classes')
        if self._table is not None or not names:
            names = self.network.classes or map(str, range(self.network.num_classes))
        fake, real = summarize(fake), summarize(real)
        figures = {name: fake[name] for name in SCORES}
        figures |= {f'real/{name}': real[name] for name in SCORES}
        for name in ('PA', 'mIoU'):
            share = fake[name] / real[name] * 100 if real[name] else float('nan')
            figures[f'share/{name}'] = float(np.round(share, 2))

        table = 'none'
        if self._table is not None:
            table = hashlib.sha256(self._table.numpy()).hexdigest()[:16]
        columns = (fake['IoU'], real['IoU'], fake['Acc'], real['Acc'])
        self.last_report = dict(
            figures=figures,
            num_images=len(results),
            per_class={
                name: dict(zip(('IoU', 'real/IoU', 'Acc', 'real/Acc'), row))
                for name, row in zip(names, zip(*columns))
            },
            protocol=dict(
                label_pixels=sum(pixels),
                ignored_pixels=sum(ignored),
                class_map=table,
                image_sizes=sorted({tuple(int(v) for v in s) for s in shapes}),
                ignore_index=UNLABELLED,
                segmentation=self.network.describe(),
            ),
        )
        print_log(
            f'segmentation score of {len(results)} images (generated / real): '
            + ', '.join(f'{k} {fake[k]:.2f} / {real[k]:.2f}' for k in SCORES),
            'current',
        )
        return dict(figures)

    def _label(self, sample: dict) -> Tensor:
        label = self.field(sample, 'gt_sem_seg').squeeze().long().cpu()
        return label if self._table is None else self._table[label]

    def _score(self, images: list[np.ndarray], labels: list[Tensor]) -> list[Areas]:
        if len({image.shape for image in images}) > 1:
            return [self._score([image], [label])[0] for image, label in zip(images, labels)]
        scorer = self.network
        preds = scorer.predict(images, [tuple(label.shape) for label in labels])
        return [areas_of(*pair, scorer.num_classes) for pair in zip(preds, labels)]


def build_class_map(
    class_map: Sequence[int] | None, num_classes: int, num_scorer_classes: int
) -> Tensor | None:
    """Lookup table, (256,) int64, of the scorer id of each class; None without a class map.

    A class map has one scorer id per class, 255 where the scorer has none; without one, both must
    have the same classes.

    Raises:
        SLNPError: If the counts differ without a map, or the map has the wrong length or an id that
            the scorer lacks.
    """
    if class_map is None:
        if num_classes != num_scorer_classes:
            raise SLNPError(
                f'The scorer has {num_scorer_classes} classes, the data set {num_classes}: give '
                f'`class_map` with one scorer id (0..{num_scorer_classes - 1}, or 255 for '
                'none) for each class of the data set.'
            )
        return None
    if len(class_map) != num_classes:
        raise SLNPError(
            f'Expected a class map with {num_classes} entries (one per class of the data set), got '
            f'{len(class_map)}.'
        )
    bad = [i for i in class_map if i != UNLABELLED and not 0 <= i < num_scorer_classes]
    if bad:
        raise SLNPError(
            f'Expected scorer ids 0..{num_scorer_classes - 1} or 255 in the class map, got '
            f'{bad[0]}.'
        )
    table = torch.full((256,), UNLABELLED, dtype=torch.int64)
    table[:num_classes] = torch.as_tensor(list(class_map), dtype=torch.int64)
    return table


def named_class_map(name: str) -> list[int]:
    """Class map by name; ``'coco'`` is COCO-Stuff's 182 -> 171."""
    if name != 'coco':
        raise SLNPError(f"Expected class map 'coco' or a list, got {name!r}.")
    table = coco_raw_to_train()
    return [table.get(raw, UNLABELLED) for raw in range(NUM_COCO_RAW)]


def summarize(areas: Sequence[Areas]) -> dict[str, Any]:
    """Figures of mmseg for a set of images, one (4, C) tensor each, in percent.

    ``PA``, ``mIoU`` and ``mAcc`` are rounded to two digits; ``IoU`` and ``Acc`` are lists of C
    (None for a class in neither labels nor predictions).
    """
    scores = scores_of(areas)
    out: dict[str, Any] = {k: _percent(np.nanmean(scores[v])) for k, v in SCORES.items()}
    for name in ('IoU', 'Acc'):
        out[name] = [None if np.isnan(v) else _percent(v) for v in scores[name]]
    return out


def _percent(value: np.floating) -> float:
    """Round as mmseg does, then to the double nearest to the two digits."""
    return round(float(np.round(value * 100, 2)), 2)
