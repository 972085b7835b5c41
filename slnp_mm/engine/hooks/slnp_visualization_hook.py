"""Image grids of validation samples: label | stages | real."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmagic.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from slnp_mm.evaluation.functional.grid import color_attention, color_label, make_grid
from slnp_mm.evaluation.functional.images import to_uint8

from ...errors import SLNPError

Row = tuple[list[np.ndarray], list[str]]


@HOOKS.register_module()
class SLNPVisualizationHook(Hook):
    """Write grids of generated images to the visualizer's backends.

    Each row shows label | stage 0 | ... | attention (if the model returns it) | real. After each
    validation and test the same first ``num_images`` samples are shown, so that grids can be
    compared over time.

    Args:
        num_images (int): Number of rows. Defaults to 8.
        train_interval (int, optional): Also write a grid every ``train_interval`` training
            iterations, generated from the first validation samples without affecting the
            training's random numbers; ignored without a validation loader. Defaults to None.
        cell_size (int, optional): Height of a cell in pixels. Defaults to that of the largest
            image.

    Raises:
        SLNPError: If ``num_images`` or ``train_interval`` is below 1.
    """

    def __init__(
        self, num_images: int = 8, train_interval: int | None = None, cell_size: int | None = None
    ) -> None:
        if num_images < 1:
            raise SLNPError(f'Expected num_images >= 1, got {num_images}.')
        if train_interval is not None and train_interval < 1:
            raise SLNPError(f'Expected train_interval >= 1 or None, got {train_interval}.')
        self.num_images = num_images
        self.train_interval = train_interval
        self.cell_size = cell_size
        self._rows: list[Row] = []

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """Start a new grid."""
        self._rows = []

    @master_only
    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence | dict | None = None,
        mode: str = 'train',
    ) -> None:
        """Collect the first rows; in training, write a grid every ``train_interval`` iterations."""
        if mode != 'train':
            self._collect(runner, data_batch, outputs)
            return
        if (
            self.train_interval is None
            or runner.val_loop is None
            or not self.every_n_train_iters(runner, self.train_interval)
        ):
            return
        self._rows = []
        runner.model.eval()
        with torch.random.fork_rng(), torch.no_grad():
            for batch in _val_loader(runner):
                self._collect(runner, batch, runner.model.val_step(batch))
                if len(self._rows) >= self.num_images:
                    break
        runner.model.train()
        self._after_epoch(runner, 'train')

    @master_only
    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """Write the grid ``train_samples``, ``val_samples`` or ``test_samples``."""
        if not self._rows:
            return
        grid = make_grid([row for row, _ in self._rows], self._rows[0][1], self.cell_size)
        runner.visualizer.add_image(f'{mode}_samples', grid, step=runner.iter)
        self._rows = []

    def _collect(self, runner: Runner, data_batch: Any, outputs: Sequence | None) -> None:
        """Collect rows until there are enough."""
        for i, sample in enumerate(outputs or ()):
            if len(self._rows) >= self.num_images:
                return
            meta = runner.visualizer.dataset_meta or {}
            if not meta:
                meta = getattr(_val_loader(runner).dataset, 'metainfo', {})
            classes = _instance_classes(data_batch, i)
            self._rows.append(sample_row(sample, meta.get('palette') or [], classes))


def sample_row(
    sample: Any, palette: Sequence[Sequence[int]], classes: np.ndarray | None = None
) -> Row:
    """Images and titles for one model output.

    Args:
        sample (DataSample): With ``fake_img`` and optionally ``gt_sem_seg``, ``stage_imgs``,
            ``attention`` (one (N_h, N_w, T) tensor, or one per refiner, of which the last is
            shown), ``sampled_img`` (of a noise prior), ``gt_img``. Images are (3, H, W) BGR 0..255.
        palette (Sequence[Sequence[int]]): RGB of each class.
        classes (np.ndarray, optional): (T,) classes of its instances.

    Returns:
        Row: RGB images (h, w, 3) uint8, and their titles.
    """
    images, titles = [], []
    label = sample.get('gt_sem_seg')
    if label is not None:
        label = getattr(label, 'data', label)
        images.append(color_label(label.squeeze().cpu().numpy(), palette))
        titles.append('label')
    stages = sample.get('stage_imgs') or [sample.get('fake_img')]
    for i, image in enumerate(stages):
        images.append(_rgb(image))
        titles.append(f'stage {i}' if len(stages) > 1 else 'generated')
    if sample.get('sampled_img') is not None:  # of a noise prior
        titles[-1] = 'reconstructed'
        images.append(_rgb(sample.get('sampled_img')))
        titles.append('sampled')
    attention = sample.get('attention')
    if isinstance(attention, (list, tuple)):
        attention = attention[-1] if attention else None
    if attention is not None:
        images.append(
            color_attention(
                attention.detach().float().cpu().numpy(), classes, palette, images[-1].shape[:2]
            )
        )
        titles.append('attention')
    if sample.get('gt_img') is not None:
        images.append(_rgb(sample.get('gt_img')))
        titles.append('real')
    return images, titles


def _rgb(image: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(to_uint8(image)[..., ::-1])


def _instance_classes(data_batch: Any, index: int) -> np.ndarray | None:
    """Instance classes of one sample in a batch."""
    if not isinstance(data_batch, dict):
        return None
    inputs = data_batch.get('inputs')
    if not isinstance(inputs, dict) or 'instance_labels' not in inputs:
        return None
    labels = inputs['instance_labels']
    return torch.as_tensor(labels[index]).cpu().numpy()


def _val_loader(runner: Runner):
    """The first validation (or test) loader."""
    loop = runner.val_loop or runner.test_loop
    loaders = getattr(loop, 'dataloaders', None)
    return loaders[0] if loaders else loop.dataloader
