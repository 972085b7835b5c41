"""mmsegmentation's DeepLabV3 as a scorer.

mmseg is imported inside functions only. mmagic's default scope stays: mmseg's own ``init_model``
would switch it for good.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from ...datasets.codec import UNLABELLED
from ...errors import PACKAGE, SLNPError
from ..functional.images import RESIZE_FILTERS, resize_image
from .base import Scorer
from .checkpoint import load_weights, resolve_checkpoint


@contextmanager
def mmseg_scope() -> Iterator[None]:
    """Look up names in mmseg within a ``with`` block only."""
    import mmseg  # noqa: F401  (so that the error names a missing mmseg)

    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def areas_of(pred: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Per-class pixel counts of one image by mmseg's ``IoUMetric`` code.

    ``pred`` and ``label`` are (H, W) int64, 0..num_classes-1; ``label`` may also hold 255.

    Returns:
        Tensor: (4, C) float32, rows intersection, union, prediction, label.
    """
    from mmseg.evaluation.metrics import IoUMetric

    return torch.stack(IoUMetric.intersect_and_union(pred, label, num_classes, UNLABELLED))


def scores_of(areas: Sequence[Tensor]) -> dict[str, np.ndarray]:
    """Scores of a set of images, :func:`areas_of` each, by mmseg's ``IoUMetric`` code.

    Source:
        paper: Eqs. (23) mIoU and (24) PA; PA is mmseg's ``aAcc``.
        reference: mmsegmentation 1.2, ``IoUMetric``. The counts are added in the given order and in
            float32, as mmseg does.

    Returns:
        dict[str, np.ndarray]: ``aAcc`` (), ``IoU`` (C,), ``Acc`` (C,), all 0..1; NaN for a class in
        neither labels nor predictions.
    """
    from mmseg.evaluation.metrics import IoUMetric

    columns = [sum(column) for column in zip(*(a.unbind(0) for a in areas))]
    return IoUMetric.total_area_to_metrics(*columns, ['mIoU'], None, 1)


class DeepLabV3Scorer(Scorer):
    """Segment images, or compute features, with any mmseg config; half precision on CUDA.

    Args:
        config (str): mmseg config; its optional ``scorer`` dict sets defaults for the arguments
            below and the checkpoint path.
        checkpoint (str, optional): Weights: a file, an ``http(s)://`` or ``file://`` URL, or
            ``None`` for the config's.
        input_size (Tuple[int, int], optional): Height, width to resize images to; ``None`` keeps
            their size.
        resize_filter (str, optional): Name of the filter. Defaults to the config's, else
            ``'area'``.

    Raises:
        SLNPError: If config or weights are missing, the filter is unknown or the weights do not
            fit.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str | None = None,
        input_size: tuple[int, int] | None = None,
        resize_filter: str | None = None,
    ) -> None:
        # outside the repository, use the config in the package
        place = config if os.path.isfile(config) else PACKAGE / '.mim/configs' / config
        if not os.path.isfile(place):
            raise SLNPError(f'Expected a scorer config, got {config}, which does not exist.')
        self.config_path = config
        cfg = Config.fromfile(place)
        own = dict(cfg.get('scorer', {}))
        size = input_size or own.get('input_size')
        self.input_size = None if size is None else tuple(size)
        self.resize_filter = resize_filter or own.get('resize_filter', 'area')
        if self.resize_filter not in RESIZE_FILTERS:
            raise SLNPError(
                f'Expected a resize filter out of {sorted(RESIZE_FILTERS)}, '
                f'got {self.resize_filter!r}.'
            )
        weights = resolve_checkpoint(config, own, checkpoint)
        self.classes = _class_names(cfg)
        super().__init__(_build_segmentor(cfg), weights)
        load_weights(self.net, weights)

    @property
    def num_classes(self) -> int:
        """int: Number of classes of the scorer."""
        return int(self.net.decode_head.num_classes)

    @torch.no_grad()
    def predict(
        self, images: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]]
    ) -> list[Tensor]:
        """Segment images, (H, W, 3) uint8, BGR, with mmseg's own ``test_step``.

        Args:
            images (Sequence[np.ndarray]): The images.
            sizes (Sequence[tuple[int, int]]): Height, width of each prediction (its label's);
                logits are resized bilinearly.

        Returns:
            list[Tensor]: One (h, w) int64 map per image, on the CPU.
        """
        from mmseg.structures import SegDataSample

        inputs = self._inputs(images)
        shapes = [tuple(image.shape[1:]) for image in inputs]
        samples = [
            SegDataSample(metainfo=dict(ori_shape=tuple(size), img_shape=shape, pad_shape=shape))
            for size, shape in zip(sizes, shapes)
        ]
        with mmseg_scope(), self._autocast():
            outputs = self.net.test_step(dict(inputs=inputs, data_samples=samples))
        return [out.pred_sem_seg.data.squeeze(0).long().cpu() for out in outputs]

    @torch.no_grad()
    def features(self, images: Sequence[np.ndarray]) -> Tensor:
        """Mean over the image of the backbone's last feature map: (N, D) float32 on the CPU.

        Images are (H, W, 3) uint8, BGR. A distance between these features is not an FID.
        """
        with mmseg_scope(), self._autocast():
            data = self.net.data_preprocessor(dict(inputs=self._inputs(images)), False)
            maps = self.net.extract_feat(data['inputs'])[-1]
        return maps.float().mean(dim=(2, 3)).cpu()

    def describe(self) -> dict[str, object]:
        """See :class:`Scorer`; includes the record of a trained scorer."""
        out = dict(
            config=os.path.basename(self.config_path),
            **super().describe(),
            num_classes=self.num_classes,
            input_size=self.input_size and list(self.input_size),
            resize_filter=self.resize_filter,
            precision='float16' if self.device.type == 'cuda' else 'float32',
        )
        record = os.path.join(os.path.dirname(self.weights), 'scorer.json')
        if os.path.isfile(record):
            with open(record, encoding='utf-8') as file:
                trained = json.load(file)
            if trained.get('sha256') == out['sha256']:
                out['training'] = trained
        return out

    def _inputs(self, images: Sequence[np.ndarray]) -> list[Tensor]:
        """Resize (H, W, 3) arrays and convert them to (3, h, w) uint8 tensors."""
        if self.input_size is not None:
            images = [resize_image(image, self.input_size, self.resize_filter) for image in images]
        return [torch.from_numpy(image).permute(2, 0, 1).contiguous() for image in images]

    def _autocast(self) -> torch.autocast:
        """Half precision on CUDA."""
        kind = self.device.type
        return torch.autocast(kind, dtype=torch.float16, enabled=kind == 'cuda')


def _build_segmentor(cfg: Config) -> torch.nn.Module:
    """Build the model of an mmseg config without downloads and what only training needs."""
    with mmseg_scope():
        from mmengine.model import revert_sync_batchnorm
        from mmseg.registry import MODELS

        model_cfg = cfg.model.copy()
        for key in ('_scope_', 'auxiliary_head'):
            model_cfg.pop(key, None)
        model_cfg.pretrained = model_cfg.train_cfg = None
        if 'init_cfg' in model_cfg.backbone:
            model_cfg.backbone.init_cfg = None
        return revert_sync_batchnorm(MODELS.build(model_cfg))


def _class_names(cfg: Config) -> list[str] | None:
    """Class names of the config's validation data set, if known."""
    dataset = cfg.get('val_dataloader', {}).get('dataset', {})
    if 'type' not in dataset:
        return None
    with mmseg_scope():
        from mmseg.registry import DATASETS

        kind = DATASETS.get(dataset['type'])
    names = getattr(kind, 'METAINFO', {}).get('classes')
    return list(names) if names else None
