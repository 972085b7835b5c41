"""Write label | stages | real for a few validation images."""

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
    """Grids of generated pictures through the visualizer's backends.

    One row an image: label | stage 0 | ... | attention (when the model
    gives it) | real. The first ``num_images`` validation images are shown,
    after each validation and each test, so that rows can be compared over
    time. Local files, TensorBoard and W&B are the visualizer's backends.

    Args:
        num_images (int): Rows. Defaults to 8.
        train_interval (int, optional): Also every so many training iterations, by generating from
            the first validation images without touching the training's random numbers; a run
            without a validation loader has none. Defaults to None, never.
        cell_size (int, optional): Height of a picture in pixels. Defaults to the largest picture's.

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
        """Keep the first rows; in training, every ``train_interval`` iterations make a grid."""
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
        """Keep rows of a batch until there are enough."""
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
    """Pictures and titles of one model output.

    Args:
        sample (DataSample): With ``fake_img`` and, where known, ``gt_sem_seg``, ``stage_imgs``,
            ``attention`` (one (N_h, N_w, T) tensor or a list of them, a refiner each, the last is
            shown), ``sampled_img`` (of a noise prior), ``gt_img``. Images are (3, H, W) BGR 0..255.
        palette (Sequence[Sequence[int]]): RGB of each class.
        classes (np.ndarray, optional): (T,) classes of its instances.

    Returns:
        Row: RGB pictures (h, w, 3) uint8, and their titles.
    """
    pictures, titles = [], []
    label = sample.get('gt_sem_seg')
    if label is not None:
        label = getattr(label, 'data', label)
        pictures.append(color_label(label.squeeze().cpu().numpy(), palette))
        titles.append('label')
    stages = sample.get('stage_imgs') or [sample.get('fake_img')]
    for i, image in enumerate(stages):
        pictures.append(_rgb(image))
        titles.append(f'stage {i}' if len(stages) > 1 else 'generated')
    if sample.get('sampled_img') is not None:  # of a noise prior
        titles[-1] = 'reconstructed'
        pictures.append(_rgb(sample.get('sampled_img')))
        titles.append('sampled')
    attention = sample.get('attention')
    if isinstance(attention, (list, tuple)):
        attention = attention[-1] if attention else None
    if attention is not None:
        pictures.append(
            color_attention(
                attention.detach().float().cpu().numpy(), classes, palette, pictures[-1].shape[:2]
            )
        )
        titles.append('attention')
    if sample.get('gt_img') is not None:
        pictures.append(_rgb(sample.get('gt_img')))
        titles.append('real')
    return pictures, titles


def _rgb(image: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(to_uint8(image)[..., ::-1])


def _instance_classes(data_batch: Any, index: int) -> np.ndarray | None:
    """Instance classes of one image of a loader's batch."""
    if not isinstance(data_batch, dict):
        return None
    inputs = data_batch.get('inputs')
    if not isinstance(inputs, dict) or 'instance_labels' not in inputs:
        return None
    labels = inputs['instance_labels']
    return torch.as_tensor(labels[index]).cpu().numpy()


def _val_loader(runner: Runner):
    """The first validation (or test) loader of either kind of loop."""
    loop = runner.val_loop or runner.test_loop
    loaders = getattr(loop, 'dataloaders', None)
    return loaders[0] if loaders else loop.dataloader
