"""Checkpoints from which a run resumes bit-exactly, whenever it was stopped."""

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

# entries of optimizers and schedulers that are not settings
_STATE = {'params', 'initial_lr', 'foreach', 'fused', 'last_step', 'base_values', 'verbose'}


class WholeFileBackend(LocalBackend):
    """Local files, written atomically."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write to a draft, then rename it."""
        with replace_file(filepath) as draft:
            super().put(obj, draft)


register_backend('slnp_whole_file', WholeFileBackend)


@HOOKS.register_module()
class SLNPCheckpointHook(CheckpointHook):
    """mmengine's hook, extended so that runs resume bit-exactly, whenever they were stopped.

    - Checkpoints are written to a draft and renamed; old ones are removed afterwards.
    - Before each iteration all random generators are seeded from the run's seed and the iteration
      number, and :class:`SLNPBatchSampler` draws the data, so that nothing depends on earlier
      iterations. A checkpoint only stores the position in the data.
    - Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 save a checkpoint after the current iteration (or
      validation batch) and stop the training; all processes stop at the same iteration. Since job
      schedulers repeat signals, only Ctrl-C at least five seconds later stops immediately.
    - Resuming is refused if settings of optimizers or schedulers differ from the checkpoint's,
      which resuming would restore.

    Args:
        save_best (str, optional): As in the parent, but a validation without this metric only logs
            a warning. Defaults to None.
        **kwargs: Passed to the parent.
    """

    def __init__(self, *args, save_best: str | None = None, **kwargs) -> None:
        if '://' not in str(kwargs.get('out_dir')):
            kwargs.setdefault('backend_args', dict(backend='slnp_whole_file'))
        super().__init__(*args, save_best=save_best, **kwargs)
        self._outdated: list[str] = []
        self._training = False

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to resume without optimizer states or with other settings."""
        if not runner._resume:
            return
        place = runner._load_from or find_latest_checkpoint(runner.work_dir)
        advice = f'start a new run from its weights (--cfg-options load_from={place})'
        if 'optimizer' not in checkpoint:
            raise SLNPError(
                f'{place} holds no state of the optimizers, so no run can resume from it: use '
                f'another checkpoint, or {advice}'
            )
        differing = _differing_settings(runner, checkpoint)
        if differing:
            raise SLNPError(
                f'{place} was trained with other settings, which resuming would restore: '
                f'{"; ".join(differing)}: set them back, or {advice}'
            )

    def before_train(self, runner: Runner) -> None:
        """Restore the position in the data; install signal handlers."""
        super().before_train(runner)
        if is_main_process():
            remove_drafts(self.out_dir)
        self.file_backend.remove = self._outdated.append  # removed after saving

        loop = runner.train_loop
        batches = loop.dataloader.batch_sampler
        seeded = isinstance(batches, SLNPBatchSampler)
        if seeded and not isinstance(loop, IterBasedTrainLoop):
            raise SLNPError(
                'SLNPBatchSampler is endless, but train_cfg counts epochs: set by_epoch=False and '
                'max_iters in train_cfg, or batch_sampler=None in train_dataloader'
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
                before = getattr(found, '__self__', None)  # left by a training that failed
                if isinstance(before, SLNPCheckpointHook):
                    found = before._handlers[number]
                if found in (signal.SIG_DFL, signal.default_int_handler):
                    self._handlers[number] = found
                    signal.signal(number, self._note_signal)

    def after_train(self, runner: Runner) -> None:
        """Restore the signal handlers."""
        super().after_train(runner)
        self._training = False
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _skip_batches(self, runner: Runner, batches: SLNPBatchSampler) -> None:
        """Start the loader at the checkpoint's position in the data."""
        loop, info = runner.train_loop, runner.message_hub.runtime_info
        if 'data_place' in info:
            batches.start(info['data_seed'], info['data_place'])
        else:
            batches.start(batches.seed, runner.iter * batches.batch_size * get_world_size())
            runner.logger.warning(
                'the checkpoint was saved by an older version and does not store the position in '
                'the data: the run resumes, but not bit-exactly'
            )
            runner.message_hub.update_info('data_place', batches.place)
        runner.logger.info(f'data loading resumes at sample {batches.place}')
        # mmengine skips so many batches: do not load them
        passed = itertools.repeat(None, runner.iter)
        loop.dataloader_iterator = itertools.chain(passed, iter(loop.dataloader))

    def _note_signal(self, number: int, frame: Any) -> None:
        """Request a stop; a second, late Ctrl-C stops immediately."""
        if self._signal is None:
            self._signal, self._asked = signal.Signals(number).name, time.monotonic()
            note = f'{self._signal}: saving after this iteration; Ctrl-C after 5 s stops at once\n'
            with contextlib.suppress(OSError):  # the terminal may be gone
                os.write(2, note.encode())
        elif number == signal.SIGINT and time.monotonic() - self._asked > 5:
            raise KeyboardInterrupt

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the iteration; ``runner.seed`` includes the rank."""
        seed_all(runner.seed, 1, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Save a checkpoint if it is due or a signal requested a stop."""
        if self._batches is not None:
            hub, batches = runner.message_hub, self._batches
            place = hub.get_info('data_place', 0) + batches.batch_size * get_world_size()
            hub.update_info('data_place', place)
            hub.update_info('data_seed', batches.seed)
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        self._stop_if_asked(runner, runner.iter + 1)

    def after_val_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Stop in the middle of a validation too, since schedulers do not wait for its end."""
        if self._training:
            self._stop_if_asked(runner, runner.iter)

    def _stop_if_asked(self, runner: Runner, step: int) -> None:
        """Save and raise KeyboardInterrupt if any process received a signal."""
        asked = torch.tensor(float(self._signal is not None))
        all_reduce(asked, 'max')
        if not asked:
            return
        if not str(self.last_ckpt).endswith(self.filename_tmpl.format(step)):
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=step))
        barrier()  # launchers kill the other processes when one exits
        runner.logger.warning(f'asked to stop: {self.last_ckpt} is saved; --resume continues')
        raise KeyboardInterrupt

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save, then remove outdated checkpoints."""
        super()._save_checkpoint_with_step(runner, step, meta)
        self._remove_outdated()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save a new best checkpoint, then remove the previous one."""
        if not self._training:  # validation alone
            return
        missing = [key for key in self.save_best or () if key not in metrics and key != 'auto']
        if missing:
            runner.logger.warning(
                f'no best checkpoint is saved: expected the metric {", ".join(missing)}, but the '
                f'validation computed {", ".join(metrics)}'
            )
            return
        super()._save_best_checkpoint(runner, metrics)
        self._remove_outdated()

    def _remove_outdated(self) -> None:
        """Remove the files that the parent would have removed before saving.

        Only within ``out_dir``: a copied work dir still names the files of the original.
        """
        while self._outdated:
            name = os.path.basename(self._outdated.pop())
            if name != os.path.basename(self.last_ckpt or ''):
                Path(self.out_dir, name).unlink(missing_ok=True)


def _differing_settings(runner: Runner, checkpoint: dict) -> list[str]:
    """Describe the settings that differ from the checkpoint's."""
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
    """Settings by name, such as 'generator.lr', from the states in a checkpoint."""
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
