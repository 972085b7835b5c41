"""What the command-line tools share: arguments, config, error sentences.

Arguments are read and the files they name are looked for before torch, mmagic and the package are
imported, which takes seconds; what needs them is in ``_runner.py``.
"""

from __future__ import annotations

import argparse
import ctypes
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

# Waiting threads must not spin: with several processes on few cores that slows training down by a
# factor of six (measured on two cores). It has to be set before torch is loaded.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

# Large tensors lie on large pages of memory.
os.environ.setdefault('THP_MEM_ALLOC_ENABLE', '1')

# what each launcher sets, and how it is started
_LAUNCHERS = dict(
    pytorch=('RANK', 'torchrun --nproc_per_node=N'),
    slurm=('SLURM_PROCID', 'srun'),
    mpi=('OMPI_COMM_WORLD_RANK', 'mpirun'),
)


def __getattr__(name: str) -> Any:
    """Import what builds runners, and with it torch and the package, when a tool first asks."""
    if name.startswith('__'):
        raise AttributeError(name)
    return getattr(import_module('_runner'), name)


def _load_errors() -> ModuleType:
    """Load the package's errors without the package."""
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
    """Run a tool; print an error the user can mend as one sentence.

    Args:
        main (Callable): The tool; returns its exit code, None for 0.

    Returns:
        int: Exit code. A bug keeps its traceback, and
        ``SLNP_MM_TRACEBACK=1`` shows every traceback.
    """
    _keep_freed_memory()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a worker's tensors are open files
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):  # a file name may hold bytes that are no text
            stream.reconfigure(errors='backslashreplace')
    try:
        return main() or 0
    except KeyboardInterrupt:
        print('error: stopped', file=sys.stderr)
        return 130
    except Exception as error:
        sentence = errors.one_sentence(error)
        if sentence is None or os.environ.get('SLNP_MM_TRACEBACK') == '1':
            raise
        print(f'error: {sentence}', file=sys.stderr)
        return 1


def stop_like_ctrl_c() -> None:
    """Raise KeyboardInterrupt on SIGTERM and SIGHUP: a closed terminal or a kill ends a tool too.

    The tools start long jobs in process groups of their own and end them in ``finally``; a signal's
    default action would leave the job running. What is ignored, as under ``nohup``, stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _keep_freed_memory() -> None:
    """Let glibc keep what is freed.

    It gives large blocks back to the system, so that every training step on a CPU has its tensors
    mapped and cleared anew, page by page (docs/scaling.md has the time). Other C libraries have no
    ``mallopt``.
    """
    trim_threshold, mmap_max = -1, -4  # of malloc.h
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        mallopt(trim_threshold, -1)
        mallopt(mmap_max, 0)


class ConfigOptions(DictAction):
    """``--cfg-options``: mmengine's, but ``~`` and spaces in a path work, a missing = is named."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Add ``key=value`` to what was given before."""
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
        help='override config entries: key=value, key="[a,b]", key=a,b or '
        'key="[(a,b),(c,d)]", without white space',
    )


def add_model_args(parser: argparse.ArgumentParser, **options) -> None:
    """Add a config and its checkpoint."""
    parser.add_argument('config', type=path, help='the config it was trained with', **options)
    parser.add_argument(
        'checkpoint', type=path, help='checkpoint file, or a work dir: its last one', **options
    )


def add_runner_args(parser: argparse.ArgumentParser) -> None:
    """Add the options that mmagic's train and test tools share."""
    parser.add_argument('--work-dir', type=path, help='where logs and results go')
    add_config_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', *_LAUNCHERS],
        default='none',
        help='job launcher; without a GPU processes talk through gloo',
    )
    # `torch.distributed.launch` passes it with a dash since torch 2.0
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def path(text: str) -> str:
    """Type of a path argument: a shell leaves the ``~`` of ``--out=~/x`` as it is."""
    return os.path.expanduser(text)


def device(text: str) -> str:
    """Type of a device argument; whether it is there is seen when torch is loaded."""
    if not re.fullmatch(r'auto|cpu|cuda(:\d+)?', text):
        raise argparse.ArgumentTypeError(f'must be cpu, cuda or cuda:N, but got {text!r}')
    return text


def number(text: str) -> int:
    """Type of a count: a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'must be a whole number from 1, but got {text!r}')
    return int(text)


def seed(text: str) -> int:
    """Type of a seed."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(
            f'must be a whole number from 0 to {2**32 - 1}, but got {text!r}'
        )
    return int(text)


def need_folder(out: str) -> None:
    """Refuse a folder to write to that is a file, or is below one."""
    for place in (Path(out), *Path(out).parents):
        if place.exists() and not place.is_dir():
            raise SLNPError(
                f'{place} is a file, but --out={out} needs a folder there: choose another --out'
            )


def keep_inputs(out: str, inputs: list[str], option: str = '--out') -> None:
    """Refuse to write over the files that are read, or images among them.

    Args:
        out (str): File or folder to be written.
        inputs (list[str]): Files and folders that are read.
        option (str): Argument that names ``out``.
    """
    target = Path(out).resolve()
    report = target.suffix in ('.json', '.yaml', '.yml', '.pkl')
    for place in inputs:
        source = Path(place).resolve()
        if target == source or (source in target.parents and not report):
            raise SLNPError(
                f'{option} {out} would write over or among what is read from {place}: '
                'choose another place'
            )


def find_checkpoint(place: str) -> str:
    """Give a checkpoint file: the path itself, or a work dir's last whole one."""
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
    """Read a config file and merge overrides; what it imports is up to ``import_custom``.

    A loader loses what only workers take if it has none, and what only a loader without a batch
    sampler takes.

    Args:
        place (str): The file.
        options (dict, optional): Of ``--cfg-options``.

    Raises:
        SLNPError: If there is no such file, it is no config, or an option does not fit it.
    """
    if not os.path.isfile(place):  # outside the repository, configs/... is the package's
        own = errors.PACKAGE / '.mim/configs' / place
        place = str(own) if own.is_file() else place
    need(place, 'config', 'runnable ones are configs/*.py')
    if 'slnp_mm::' in Path(place).read_text(errors='replace'):
        import_module('slnp_mm')  # tells mmengine where these configs are
    try:
        cfg = Config.fromfile(place, import_custom_modules=False)
    except Exception as error:  # what a config file may raise has no end
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
                # torch refuses what is only for worker processes
                for option in ('persistent_workers', 'prefetch_factor'):
                    loader.pop(option, None)
            if loader.get('batch_sampler'):
                loader.pop('drop_last', None)  # its batches are full, and torch takes only one
    return cfg


def load_config(args: argparse.Namespace) -> Config:
    """Read the config of a command line and apply the options of :func:`add_runner_args`."""
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
    """Say where a run writes: ``work_dir``, else the config's own, else ``work_dirs/<name>``."""
    source = Path(cfg.filename).resolve()
    own = cfg.get('work_dir') or os.path.join('work_dirs', source.stem)
    cfg.work_dir = path(work_dir or own)
    if source.parent == Path(cfg.work_dir).resolve():
        # mmengine writes a copy there: without a name it gets the time as its name
        return Config(cfg.to_dict(), cfg_text=cfg.text)
    return cfg


def log_to(cfg: Config, package: str, backend: str) -> None:
    """Send figures and pictures to TensorBoard or W&B as well."""
    if find_spec(package) is None:
        raise SLNPError(
            f'--{package} needs the package {package}, which is not installed: pip install it'
        )
    cfg.visualizer = cfg.get('visualizer') or dict(type='Visualizer', vis_backends=[])
    cfg.visualizer.vis_backends.append(dict(type=backend))


def enable_auto_scale_lr(cfg: Config) -> None:
    """Let the runner scale learning rates with the total batch size."""
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise SLNPError(
            '--auto-scale-lr needs the batch size that the learning rates '
            'are for: add --cfg-options auto_scale_lr.base_batch_size=N'
        )
    cfg.auto_scale_lr.enable = True
