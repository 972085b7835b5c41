"""Save so that a run can be stopped at any moment and resumes bit-exactly."""

import contextlib
import itertools
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import torch
from mmagic.registry import HOOKS
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import IterBasedTrainLoop, Runner, find_latest_checkpoint

from slnp_mm.datasets import STOP_SIGNALS, SLNPBatchSampler, seed_all
from slnp_mm.errors import SLNPError
from slnp_mm.files import remove_drafts, replace_file

# what optimizers and schedules hold besides their settings
_STATE = {'params', 'initial_lr', 'foreach', 'fused', 'last_step', 'base_values', 'verbose'}


class WholeFileBackend(LocalBackend):
    """Local files that appear under their name when they are complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file."""
        with replace_file(filepath) as draft:
            super().put(obj, draft)


register_backend('slnp_whole_file', WholeFileBackend)


@HOOKS.register_module()
class SLNPCheckpointHook(CheckpointHook):
    """mmengine's hook; a run that was stopped at any moment resumes bit-exactly.

    - A checkpoint is written under another name and moved into place; the files it replaces are
      removed afterwards.
    - Before each iteration all random numbers are seeded by the run's seed and the iteration, and
      the loader is :class:`SLNPBatchSampler`'s: what is drawn depends on no earlier iteration. A
      checkpoint need only say at which sample of the run it was made.
    - Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 save after the iteration under way, or after the next
      batch of a validation, and end the training. Processes agree on the iteration. Schedulers
      repeat their signals: only Ctrl-C, five seconds after the first signal or later, ends at once.
    - Settings of optimizers and schedules that differ from the checkpoint's, which resuming would
      restore, are refused.

    Args:
        save_best (str, optional): As in the parent, but a validation without this figure keeps no
            best checkpoint and says so. Defaults to None.
        **kwargs: Of the parent.
    """

    def __init__(self, *args, save_best: str | None = None, **kwargs) -> None:
        if '://' not in str(kwargs.get('out_dir')):
            kwargs.setdefault('backend_args', dict(backend='slnp_whole_file'))
        super().__init__(*args, save_best=save_best, **kwargs)
        self._outdated: list[str] = []
        self._training = False

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to resume from what would not train as the config says.

        Raises:
            SLNPError: If there is no state of optimizers, or a setting differs.
        """
        if not runner._resume:
            return
        place = runner._load_from or find_latest_checkpoint(runner.work_dir)
        advice = f'start a new run from its weights (--cfg-options load_from={place})'
        if 'optimizer' not in checkpoint:
            raise SLNPError(
                f'{place} holds no state of the optimizers, so no run can resume from it: take '
                f'another checkpoint, or {advice}'
            )
        differing = _differing_settings(runner, checkpoint)
        if differing:
            raise SLNPError(
                f'{place} was trained with other settings, which resuming would restore: '
                f'{"; ".join(differing)}: set them back, or {advice}'
            )

    def before_train(self, runner: Runner) -> None:
        """Go to the place of the run, in the data too; wait for signals.

        Raises:
            SLNPError: If the loop counts epochs, which the endless batches do not have.
        """
        super().before_train(runner)
        if is_main_process():
            remove_drafts(self.out_dir)
        self.file_backend.remove = self._outdated.append  # until the new file is there

        loop = runner.train_loop
        batches = loop.dataloader.batch_sampler
        seeded = isinstance(batches, SLNPBatchSampler)
        if seeded and not isinstance(loop, IterBasedTrainLoop):
            raise SLNPError(
                'SLNPBatchSampler is endless, but train_cfg counts epochs: set by_epoch=False and '
                'max_iters, or batch_sampler=None of train_dataloader'
            )
        if runner.iter and seeded:
            self._skip_batches(runner, batches)
        elif runner.iter:
            runner.logger.warning(
                'train_dataloader has no batch_sampler=dict(type="SLNPBatchSampler"): the run '
                'resumes, but not bit-exactly'
            )
        else:
            runner.message_hub.update_info('data_place', 0)
        self._batches = batches if seeded else None

        self._training, self._signal, self._handlers = True, None, {}
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                found = signal.getsignal(number)
                before = getattr(found, '__self__', None)  # a training that an error has ended
                if isinstance(before, SLNPCheckpointHook):
                    found = before._handlers[number]
                if found in (signal.SIG_DFL, signal.default_int_handler):
                    self._handlers[number] = found
                    signal.signal(number, self._note_signal)

    def after_train(self, runner: Runner) -> None:
        """Leave signals as they were found."""
        super().after_train(runner)
        self._training = False
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _skip_batches(self, runner: Runner, batches: SLNPBatchSampler) -> None:
        """Start the loader at the place of the checkpoint."""
        loop, info = runner.train_loop, runner.message_hub.runtime_info
        if 'data_place' in info:
            batches.start(info['data_seed'], info['data_place'])
        else:
            batches.start(batches.seed, runner.iter * batches.batch_size * get_world_size())
            runner.logger.warning(
                'the checkpoint is of an older version and does not say where in the data it was '
                'made: the run resumes, but not bit-exactly'
            )
            runner.message_hub.update_info('data_place', batches.place)
        runner.logger.info(f'the data resume at sample {batches.place} of the run')
        # mmengine passes over so many batches, which need not be read
        passed = itertools.repeat(None, runner.iter)
        loop.dataloader_iterator = itertools.chain(passed, iter(loop.dataloader))

    def _note_signal(self, number: int, frame: Any) -> None:
        """Ask for the end of the training; a late second Ctrl-C ends it here."""
        if self._signal is None:
            self._signal, self._asked = signal.Signals(number).name, time.monotonic()
            note = f'{self._signal}: saving after this iteration; Ctrl-C after 5 s stops at once\n'
            with contextlib.suppress(OSError):  # the terminal may be gone
                os.write(2, note.encode())
        elif number == signal.SIGINT and time.monotonic() - self._asked > 5:
            raise KeyboardInterrupt

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed what the iteration draws; ``runner.seed`` holds the rank."""
        seed_all(runner.seed, 1, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Save if it is time to, or if a signal asked to stop.

        Raises:
            KeyboardInterrupt: To end the training after a signal.
        """
        if self._batches is not None:
            hub, batches = runner.message_hub, self._batches
            place = hub.get_info('data_place', 0) + batches.batch_size * get_world_size()
            hub.update_info('data_place', place)
            hub.update_info('data_seed', batches.seed)
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        self._stop_if_asked(runner, runner.iter + 1)

    def after_val_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Do not let a scheduler wait for the end of a validation.

        Raises:
            KeyboardInterrupt: To end the training after a signal.
        """
        if self._training:
            self._stop_if_asked(runner, runner.iter)

    def _stop_if_asked(self, runner: Runner, step: int) -> None:
        """Save and end the training if any process had a signal."""
        asked = torch.tensor(float(self._signal is not None))
        all_reduce(asked, 'max')
        if not asked:
            return
        if not str(self.last_ckpt).endswith(self.filename_tmpl.format(step)):
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=step))
        barrier()  # a launcher kills the other processes as soon as one has ended
        runner.logger.warning(f'asked to stop: {self.last_ckpt} is saved; --resume continues')
        raise KeyboardInterrupt

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save, then remove what is not to be kept."""
        super()._save_checkpoint_with_step(runner, step, meta)
        self._remove_outdated()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save if the figure is better than ever, then remove the best one so far."""
        if not self._training:  # validation alone
            return
        missing = [key for key in self.save_best or () if key not in metrics and key != 'auto']
        if missing:
            runner.logger.warning(
                f'no best checkpoint is kept: validation gives no {", ".join(missing)}, but '
                f'{", ".join(metrics)}'
            )
            return
        super()._save_best_checkpoint(runner, metrics)
        self._remove_outdated()

    def _remove_outdated(self) -> None:
        """Remove the files that the parent wanted to remove before it saved.

        Only here: a work dir that was copied names files of the first one.
        """
        while self._outdated:
            name = os.path.basename(self._outdated.pop())
            if name != os.path.basename(self.last_ckpt or ''):
                Path(self.out_dir, name).unlink(missing_ok=True)


def _differing_settings(runner: Runner, checkpoint: dict) -> list[str]:
    """Say which settings of optimizers and schedules are not those of a checkpoint."""
    schedules = runner.param_schedulers or []
    if isinstance(schedules, dict):
        schedules = {name: [s.state_dict() for s in each] for name, each in schedules.items()}
    else:
        schedules = [s.state_dict() for s in schedules]
    old = _settings(checkpoint['optimizer'], checkpoint.get('param_schedulers'))
    new = _settings(runner.optim_wrapper.state_dict(), schedules)
    return [
        f'{key} is {old.get(key)} there and {new.get(key)} here'
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]


def _settings(optimizers: dict, schedules: dict | list | None) -> dict[str, Any]:
    """Settings by name, as 'generator.lr', from states as a checkpoint holds them."""
    if 'param_groups' in optimizers:
        optimizers, schedules = {'optimizer': optimizers}, {'optimizer': schedules}
    parts = {}
    for name, state in optimizers.items():
        for index, group in enumerate(state['param_groups']):
            rate = group.get('initial_lr', group['lr'])  # before any schedule
            parts[f'{name} group {index}' if index else name] = {**group, 'lr': rate}
        for index, schedule in enumerate((schedules or {}).get(name) or []):
            parts[f'{name} schedule {index}'] = schedule
    return {
        f'{part}.{key}': list(value) if isinstance(value, tuple) else value
        for part, state in parts.items()
        for key, value in state.items()
        if key not in _STATE and not key.startswith('_')
    }
