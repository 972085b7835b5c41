"""Arguments, configs and error handling of the command-line tools.

Arguments and the files they name are checked before torch, mmagic and the package are imported,
which takes seconds. Helpers that need those imports are in ``_runner.py``.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from mmengine.config import Config, DictAction

# With several processes on few cores, spinning threads slow down training (six times on two cores).
# To be set before torch is imported.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

# huge pages for large tensors
os.environ.setdefault('THP_MEM_ALLOC_ENABLE', '1')

# variable that each launcher sets, and its command
_LAUNCHERS = dict(
    pytorch=('RANK', 'torchrun --nproc_per_node=N'),
    slurm=('SLURM_PROCID', 'srun'),
    mpi=('OMPI_COMM_WORLD_RANK', 'mpirun'),
)


def __getattr__(name: str) -> Any:
    """Import ``_runner``, and with it torch and the package, on first use."""
    if name.startswith('__'):
        raise AttributeError(name)
    return getattr(import_module('_runner'), name)


def _load_errors() -> ModuleType:
    """Load ``slnp_mm.errors`` without importing the package."""
    name = 'slnp_mm.errors'
    if name not in sys.modules:
        place = Path(find_spec('slnp_mm').origin).with_name('errors.py')
        spec = spec_from_file_location(name, place)
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


errors = _load_errors()
SLNPError, need = errors.SLNPError, errors.check_file


def run_tool(main: Callable[[], int | None]) -> int:
    """Run a tool and return its exit code; print errors the user can fix without a traceback.

    ``SLNP_MM_TRACEBACK=1`` shows every traceback.
    """
    _keep_freed_memory()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # tensors from workers are open files
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):  # for file names that are not valid text
            stream.reconfigure(errors='backslashreplace')
    try:
        code = main() or 0
        _leave_processes()
        return code
    except KeyboardInterrupt:
        print('error: stopped', file=sys.stderr)
        return 130
    except Exception as error:
        sentence = errors.one_sentence(error)
        if sentence is None or os.environ.get('SLNP_MM_TRACEBACK') == '1':
            raise
        print(f'error: {sentence}', file=sys.stderr)
        return 1


def _leave_processes() -> None:
    """Destroy the process group while Python still runs.

    A gloo thread that frees the tensors of the last collective while the interpreter shuts down
    aborts the process (pytorch issue 190489). The group's threads end with its last user, a model.
    """
    distributed = sys.modules.get('torch.distributed')
    if distributed is not None and distributed.is_initialized():
        gc.collect()
        distributed.destroy_process_group()


def stop_like_ctrl_c() -> None:
    """Raise KeyboardInterrupt on SIGTERM and SIGHUP, unless ignored as under ``nohup``.

    The default action would not run the ``finally`` blocks that stop child processes.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory.

    By default it returns large blocks to the system, so that every training step on a CPU maps and
    clears its tensors again (timings in docs/scaling.md). Other C libraries have no ``mallopt``.
    """
    trim_threshold, mmap_max = -1, -4  # from malloc.h
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        mallopt(trim_threshold, -1)
        mallopt(mmap_max, 0)


class ConfigOptions(DictAction):
    """mmengine's ``--cfg-options``, with ``~`` and spaces in paths and an error without ``=``."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Add ``key=value`` pairs to those of earlier options."""
        options = dict(getattr(namespace, self.dest) or {})
        for text in values:
            key, found, value = text.partition('=')
            if not found:
                parser.error(f'{option_string} takes key=value, but got {text}')
            plain = ' ' in value and not re.search(r'[\[(,]', value)
            options[key] = path(value) if plain else self._parse_iterable(path(value))
        setattr(namespace, self.dest, options)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='override settings of the config; lists are written as key="[a,b]" or key=a,b, '
        'nested ones as key="[(a,b),(c,d)]", without spaces',
    )


def add_model_args(parser: argparse.ArgumentParser, **options) -> None:
    """Add a config and its checkpoint."""
    parser.add_argument('config', type=path, help='config file of the training', **options)
    last = 'checkpoint file, or a work dir to take the last one from'
    parser.add_argument('checkpoint', type=path, help=last, **options)


def add_runner_args(parser: argparse.ArgumentParser) -> None:
    """Add the options that mmagic's train and test tools share."""
    parser.add_argument('--work-dir', type=path, help='directory for logs and checkpoints')
    add_config_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', *_LAUNCHERS],
        default='none',
        help='job launcher (default: none); CPUs communicate through gloo',
    )
    # torch.distributed.launch passes a dash since torch 2.0
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help='set by the launcher'
    )


def path(text: str) -> str:
    """Type of a path argument; shells do not expand the ``~`` of ``--out=~/x``."""
    return os.path.expanduser(text)


def device(text: str) -> str:
    """Type of a device argument; whether it exists is checked later, with torch."""
    if not re.fullmatch(r'auto|cpu|cuda(:\d+)?', text):
        raise argparse.ArgumentTypeError(f'must be cpu, cuda or cuda:N, but got {text!r}')
    return text


def number(text: str) -> int:
    """Type of a count, >= 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'must be a whole number from 1, but got {text!r}')
    return int(text)


def seed(text: str) -> int:
    """Type of a seed."""
    try:
        return errors.check_seed(int(text) if text.isdecimal() else text)
    except SLNPError as error:
        raise argparse.ArgumentTypeError(error) from None


def need_folder(out: str) -> None:
    """Refuse an output folder that is a file or below one."""
    for place in (Path(out), *Path(out).parents):
        if place.exists() and not place.is_dir():
            raise SLNPError(
                f'{place} is a file, but --out={out} needs a folder there: choose another --out'
            )


def keep_inputs(out: str, inputs: list[str], option: str = '--out') -> None:
    """Refuse to overwrite input files, or to write anything but a report into an input folder."""
    target = Path(out).resolve()
    report = target.suffix in ('.json', '.yaml', '.yml', '.pkl')
    for place in inputs:
        source = Path(place).resolve()
        if target == source or (source in target.parents and not report):
            raise SLNPError(
                f'{option} {out} would overwrite or mix with the input {place}: choose another '
                'output path'
            )


def find_checkpoint(place: str) -> str:
    """Return a checkpoint file: the path itself, or the last complete one of a work dir."""
    if os.path.isdir(place):
        folder, place = place, None
        if any(Path(folder).glob('*.pth')):
            place = import_module('slnp_mm.checkpoint').last_checkpoint(folder)
        if place is None:
            raise SLNPError(
                f'no checkpoint in the work dir {folder}: train one with tools/train.py, '
                'or give a file'
            )
    need(place, 'checkpoint', 'train one with tools/train.py')
    return place


def read_config(place: str, options: dict | None = None) -> Config:
    """Read a config file and merge ``--cfg-options``, without running its custom imports.

    Loader options that torch refuses without workers, or with a batch sampler, are removed.
    """
    if not os.path.isfile(place):  # outside the repository, use the installed configs/...
        own = errors.PACKAGE / '.mim/configs' / place
        place = str(own) if own.is_file() else place
    need(place, 'config', 'runnable ones are configs/*.py')
    if 'slnp_mm::' in Path(place).read_text(errors='replace'):
        import_module('slnp_mm')  # registers the location of these configs
    try:
        cfg = Config.fromfile(place, import_custom_modules=False)
    except Exception as error:  # a config file may raise anything
        reason = f'{type(error).__name__}: {error}'
        raise SLNPError(f'{place} cannot be read as a config: {reason}') from error

    for key, value in (options or {}).items():
        try:
            cfg.merge_from_dict({key: value})
        except (KeyError, TypeError, AttributeError) as error:
            raise SLNPError(f'--cfg-options {key} does not fit {place}: {error}') from error

    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loaders = cfg.get(name) or []
        for loader in loaders if isinstance(loaders, list) else [loaders]:
            if not loader.get('num_workers'):
                for option in ('persistent_workers', 'prefetch_factor'):
                    loader.pop(option, None)
            if loader.get('batch_sampler'):
                loader.pop('drop_last', None)  # torch refuses both; its batches are full
    return cfg


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and apply the options of :func:`add_runner_args`."""
    start = _LAUNCHERS.get(args.launcher)
    if start and start[0] not in os.environ:
        raise SLNPError(
            f'--launcher {args.launcher} needs {start[0]}, which {start[1].split()[0]} sets: '
            f'start with `{start[1]} {sys.argv[0]} ...`, or leave --launcher out'
        )
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    return set_work_dir(cfg, args.work_dir)


def set_work_dir(cfg: Config, work_dir: str | None) -> Config:
    """Set the work dir: ``work_dir``, the config's own, or ``work_dirs/<name>``."""
    source = Path(cfg.filename).resolve()
    own = cfg.get('work_dir') or os.path.join('work_dirs', source.stem)
    cfg.work_dir = path(work_dir or own)
    if source.parent == Path(cfg.work_dir).resolve():
        # without a file name, mmengine's copy does not overwrite the original
        return Config(cfg.to_dict(), cfg_text=cfg.text)
    return cfg


def log_to(cfg: Config, package: str, backend: str) -> None:
    """Add TensorBoard or W&B as a backend of the visualizer."""
    if find_spec(package) is None:
        raise SLNPError(
            f'--{package} needs the package {package}, which is not installed: run pip install '
            f'{package}'
        )
    cfg.visualizer = cfg.get('visualizer') or dict(type='Visualizer', vis_backends=[])
    cfg.visualizer.vis_backends.append(dict(type=backend))


def enable_auto_scale_lr(cfg: Config) -> None:
    """Scale learning rates with the total batch size."""
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise SLNPError(
            '--auto-scale-lr needs the batch size that the learning rates were chosen for: add '
            '--cfg-options auto_scale_lr.base_batch_size=N'
        )
    cfg.auto_scale_lr.enable = True
