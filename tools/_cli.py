"""What the command-line tools share: arguments, config, error sentences."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from slnp_mm.checkpoint import check_checkpoint, last_checkpoint
from slnp_mm.errors import SLNPError, check_device, check_file, one_sentence


def add_runner_args(parser: argparse.ArgumentParser) -> None:
    """Add the options that mmagic's train and test tools share."""
    parser.add_argument('--work-dir', help='where logs and results go')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override config entries: key=value, key="[a,b]", key=a,b or '
        'key="[(a,b),(c,d)]", without white space',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    # `torch.distributed.launch` passes it with a dash since torch 2.0
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and apply the options of :func:`add_runner_args`.

    Args:
        args (Namespace): Parsed arguments, with ``config``.

    Returns:
        Config: With ``work_dir``: from the command line, else from the
        config, else ``work_dirs/<config name>``.

    Raises:
        SLNPError: If the config is missing, or CUDA is asked for (by
            ``device`` or by the launcher's backend) where there is none.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(args.config).stem)
    if cfg.get('device'):
        check_device(cfg.device)
    backend = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('backend')
    if args.launcher != 'none' and backend == 'nccl':
        try:
            check_device('cuda')
        except SLNPError as error:
            raise SLNPError(
                f'--launcher {args.launcher} with the backend nccl needs '
                'CUDA, but torch finds no CUDA device here: use '
                '--cfg-options env_cfg.dist_cfg.backend=gloo'
            ) from error
    return cfg


def read_config(path: str, options: dict | None = None) -> Config:
    """Read a config file and merge overrides.

    Raises:
        SLNPError: If there is no such file, or an override does not fit.
    """
    check_file(path, 'config', 'runnable ones are configs/*.py')
    cfg = Config.fromfile(path)
    try:
        cfg.merge_from_dict(options or {})
    except (KeyError, TypeError, AttributeError) as error:
        # merging changes the config: look at what the file says
        reason = _misfit(Config.fromfile(path), options) or str(error)
        raise SLNPError(f'--cfg-options do not fit {path}: {reason}') from error
    return cfg


def _misfit(cfg: Config, options: dict) -> str | None:
    """Say which override goes below something that has nothing below it."""
    for key in options:
        value, parts = cfg, key.split('.')
        for count, part in enumerate(parts):
            if isinstance(value, (list, tuple)):
                number = int(part) if part.isdigit() else len(value)
                if number >= len(value):
                    return (
                        f'{key} needs an index from 0 to {len(value) - 1} '
                        f'after {".".join(parts[:count])}'
                    )
                value = value[number]
            elif isinstance(value, (dict, Config)):
                if part not in value:
                    break
                value = value[part]
            else:
                return (
                    f'{".".join(parts[:count])} is {value!r} there, so it '
                    f'has no {part}; leave {key} out'
                )
    return None


def enable_amp(cfg: Config) -> None:
    """Switch every optimizer wrapper of a config to mixed precision.

    Raises:
        SLNPError: If there is no CUDA device, which mmengine's
            ``AmpOptimWrapper`` needs, or a wrapper is of another type.
    """
    try:
        check_device('cuda')
    except SLNPError as error:
        raise SLNPError(
            '--amp trains in mixed precision on CUDA, but torch finds no '
            'CUDA device here: leave --amp out'
        ) from error
    wrappers = cfg.optim_wrapper
    if 'optimizer' not in wrappers:  # one wrapper for each network
        wrappers = [w for w in wrappers.values() if isinstance(w, dict)]
    else:
        wrappers = [wrappers]
    for wrapper in wrappers:
        kind = wrapper.get('type', 'OptimWrapper')
        if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise SLNPError(
                '--amp needs optimizer wrappers of the type OptimWrapper, '
                f'but the config has {kind}'
            )
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')


def enable_auto_scale_lr(cfg: Config) -> None:
    """Let the runner scale learning rates with the total batch size.

    Raises:
        SLNPError: If the config does not say for which batch size its
            learning rates are.
    """
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise SLNPError(
            '--auto-scale-lr needs the batch size that the learning rates '
            'are for: add --cfg-options auto_scale_lr.base_batch_size=N'
        )
    cfg.auto_scale_lr.enable = True


def find_checkpoint(path: str) -> str:
    """Give a checkpoint file: the path itself, or a work dir's last one.

    Raises:
        SLNPError: If there is none.
    """
    if os.path.isdir(path):
        last = last_checkpoint(path)
        if last is None:
            raise SLNPError(
                f'no checkpoint in the work dir {path}: train one with '
                'tools/train.py, or give a file'
            )
        path = last
    check_file(path, 'checkpoint', 'train one with tools/train.py')
    return path


def build_runner(cfg: Config, whole: bool = False) -> Runner:
    """Build the runner; look at the checkpoint before it is loaded.

    Args:
        cfg (Config): With ``load_from``, or ``resume`` and ``work_dir``.
        whole (bool): Whether the checkpoint must hold each entry of the
            model; when training is resumed, it always must.

    Returns:
        Runner: Built, nothing loaded yet.

    Raises:
        SLNPError: If the checkpoint to resume or load from cannot be read
            or does not fit the model.
    """
    path = cfg.get('load_from')
    if cfg.get('resume') and not path:
        path = cfg.load_from = last_checkpoint(cfg.work_dir)
    if path and '://' not in path:
        check_file(path, 'checkpoint', 'check the path')
    runner = Runner.from_cfg(cfg)
    if path and '://' not in path:
        whole = whole or bool(cfg.get('resume'))
        check_checkpoint(path, runner.model, whole)
    return runner


def run_tool(main: Callable[[], int | None]) -> int:
    """Run a tool; print an error the user can mend as one sentence.

    Args:
        main (Callable): The tool; returns its exit code, None for 0.

    Returns:
        int: Exit code. A bug keeps its traceback, and
        ``SLNP_MM_TRACEBACK=1`` shows every traceback.
    """
    try:
        return main() or 0
    except KeyboardInterrupt:
        print('error: stopped', file=sys.stderr)
        return 130
    except Exception as error:
        sentence = one_sentence(error)
        if sentence is None or os.environ.get('SLNP_MM_TRACEBACK') == '1':
            raise
        print(f'error: {sentence}', file=sys.stderr)
        return 1
