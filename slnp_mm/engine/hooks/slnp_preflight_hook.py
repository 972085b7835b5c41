"""A quick check of the data at the start of training."""

import time

from mmagic.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop

from slnp_mm.checkpoint import check_classes
from slnp_mm.datasets import SLNPDataset, quick_check
from slnp_mm.datasets.wrappers import parts

from ...errors import SLNPError


@HOOKS.register_module()
class SLNPPreflightHook(Hook):
    """Check a few samples of the training and validation sets.

    A problem stops the run with a clear message before the first iteration, instead of a CUDA
    assert later on. Datasets other than :class:`SLNPDataset` are skipped.

    Args:
        num_samples (int): Samples per set, evenly spaced, >= 1. Defaults to 64.
        max_seconds (float): Time limit per set. Defaults to 10.

    Raises:
        SLNPError: If ``num_samples`` is below 1.
    """

    def __init__(self, num_samples: int = 64, max_seconds: float = 10.0) -> None:
        if num_samples < 1:
            raise SLNPError(f'num_samples must be >= 1, got {num_samples}')
        self.num_samples, self.max_seconds = num_samples, max_seconds

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to resume or test with a different class order; a new training may change it."""
        training = isinstance(runner._train_loop, BaseLoop)
        if training and not runner._resume:
            return
        loop = runner._train_loop if training else runner._test_loop
        loader = getattr(loop, 'dataloaders', [getattr(loop, 'dataloader', None)])[0]
        metainfo = getattr(getattr(loader, 'dataset', None), 'metainfo', {})
        check_classes(checkpoint, metainfo, runner._load_from or 'the checkpoint')

    def before_train(self, runner) -> None:
        """Check the training and validation sets."""
        for loop in filter(None, (runner.train_loop, runner.val_loop)):
            for loader in getattr(loop, 'dataloaders', None) or [loop.dataloader]:
                for dataset in parts(loader.dataset):
                    if isinstance(dataset, SLNPDataset):
                        self._check(dataset, runner)

    def _check(self, dataset: SLNPDataset, runner) -> None:
        """Check one set and log it."""
        start = time.time()
        num = quick_check(dataset, self.num_samples, self.max_seconds)
        runner.logger.info(
            f'preflight: {num} of {len(dataset)} samples of {dataset.data_prefix["img"]} checked '
            f'in {time.time() - start:.1f} s, no blocking problems; to check the whole set run '
            'python tools/check_dataset.py CONFIG'
        )
