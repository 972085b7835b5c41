"""What the command-line tools share: arguments, config, error sentences.

Arguments are read and the files they name are looked for before torch, mmengine and mmagic are
imported, which takes seconds: every import of them stands inside a function.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

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


def stop(sentence: str) -> NoReturn:
    """End the tool with a sentence, exit code 1; needs no import."""
    raise SystemExit(f'error: {sentence}')


def run_tool(main: Callable[[], int | None]) -> int:
    """Run a tool; print an error the user can mend as one sentence.

    Args:
        main (Callable): The tool; returns its exit code, None for 0.

    Returns:
        int: Exit code. A bug keeps its traceback, and
        ``SLNP_MM_TRACEBACK=1`` shows every traceback.
    """
    _keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):  # a file name may hold bytes that are no text
            stream.reconfigure(errors='backslashreplace')
    try:
        return main() or 0
    except KeyboardInterrupt:
        print('error: stopped', file=sys.stderr)
        return 130
    except Exception as error:
        from slnp_mm.errors import one_sentence

        sentence = one_sentence(error)
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


class ConfigOptions(argparse.Action):
    """``--cfg-options``: mmengine's rules, but spaces in a path stay, and a missing = is named."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Add ``key=value`` to what was given before."""
        from mmengine.config import DictAction

        options = dict(getattr(namespace, self.dest) or {})
        for text in values:
            key, found, value = text.partition('=')
            if not found:
                parser.error(f'{option_string} takes key=value, but got {text}')
            plain = ' ' in value and not re.search(r'[\[(,]', value)
            options[key] = value if plain else DictAction._parse_iterable(value)
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


def need(place: str, what: str, remedy: str, there: Callable = os.path.isfile) -> None:
    """End the tool if a file (or what ``there`` looks for) that the user names is missing."""
    if not there(place):
        stop(f'no {what} at {place}: {remedy}')


def need_folder(out: str) -> None:
    """End the tool if the folder to write to, or one above it, is a file."""
    for place in (Path(out), *Path(out).parents):
        if place.exists() and not place.is_dir():
            stop(f'{place} is a file, but --out={out} needs a folder there: choose another --out')


def keep_inputs(out: str, inputs: list[str], option: str = '--out') -> None:
    """End the tool before it writes over the files it reads, or pictures among them.

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
            stop(
                f'{option} {out} would write over or among what is read from {place}: '
                'choose another place'
            )


def find_checkpoint(place: str) -> str:
    """Give a checkpoint file: the path itself, or a work dir's last whole one."""
    if os.path.isdir(place):
        folder, place = place, None
        if any(Path(folder).glob('*.pth')):
            from slnp_mm.checkpoint import last_checkpoint

            place = last_checkpoint(folder)
        if place is None:
            stop(
                f'no checkpoint in the work dir {folder}: train one with tools/train.py, '
                'or give a file'
            )
    need(place, 'checkpoint', 'train one with tools/train.py')
    return place


def read_config(place: str, options: dict | None = None) -> Config:
    """Read a config file and merge overrides; what it imports is up to :func:`import_custom`.

    A ``~`` at the start of a text is the home folder; a loader loses what only workers take if it
    has none, and what only a loader without a batch sampler takes.

    Args:
        place (str): The file.
        options (dict, optional): Of ``--cfg-options``.
    """
    if not os.path.isfile(place):  # outside the repository, configs/... is the package's
        own = Path(find_spec('slnp_mm').origin).parent / '.mim/configs' / place
        place = str(own) if own.is_file() else place
    need(place, 'config', 'runnable ones are configs/*.py')
    from mmengine.config import Config

    if 'slnp_mm::' in Path(place).read_text(errors='replace'):
        import slnp_mm  # noqa: F401  tells mmengine where these configs are
    try:
        cfg = Config.fromfile(place, import_custom_modules=False)
    except Exception as error:  # what a config file may raise has no end
        if os.environ.get('SLNP_MM_TRACEBACK') == '1':
            raise
        reason = ' '.join(str(error).split())
        stop(f'{place} cannot be read as a config: {type(error).__name__}: {reason}')

    try:
        cfg.merge_from_dict(options or {})
    except (KeyError, TypeError, AttributeError) as error:
        # merging changes the config: look at what the file says
        reason = _misfit(Config.fromfile(place, import_custom_modules=False), options)
        stop(f'--cfg-options do not fit {place}: {reason or error}')

    _expand_home(cfg)
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


def _expand_home(node: Config | dict | list) -> None:
    """Put the home folder for ``~`` in all texts below, in place."""
    for key, value in list(enumerate(node) if isinstance(node, list) else node.items()):
        if isinstance(value, str) and value.startswith('~'):
            node[key] = os.path.expanduser(value)
        elif isinstance(value, (dict, list)):
            _expand_home(value)


def _misfit(cfg: Config, options: dict) -> str | None:
    """Say which override goes below something that has nothing below it."""
    for key in options:
        value, parts = cfg, key.split('.')
        for count, part in enumerate(parts):
            above = '.'.join(parts[:count])
            if isinstance(value, (list, tuple)):
                if not part.isdigit() or int(part) >= len(value):
                    return f'{key} needs an index from 0 to {len(value) - 1} after {above}'
                value = value[int(part)]
            elif not hasattr(value, 'items'):
                return f'{above} is {value!r} there, so it has no {part}; leave {key} out'
            elif part in value:
                value = value[part]
            else:
                break
    return None


def load_config(args: argparse.Namespace) -> Config:
    """Read the config of a command line and apply the options of :func:`add_runner_args`."""
    start = _LAUNCHERS.get(args.launcher)
    if start and start[0] not in os.environ:
        stop(
            f'--launcher {args.launcher} needs {start[0]}, which {start[1].split()[0]} sets: '
            f'start with `{start[1]} {sys.argv[0]} ...`, or leave --launcher out'
        )
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    return set_work_dir(cfg, args.work_dir)


def set_work_dir(cfg: Config, work_dir: str | None) -> Config:
    """Say where a run writes, and let it not write over its config.

    That is ``work_dir`` of the command line, else the config's own, else
    ``work_dirs/<config name>``. mmengine copies the config that a run uses there under the config's
    own name. In an old work dir that is the config itself: it will be kept as ``<name>_rerun.py``.
    """
    from mmengine.config import Config

    source = Path(cfg.filename).resolve()
    cfg.work_dir = work_dir or cfg.get('work_dir') or os.path.join('work_dirs', source.stem)
    if source.parent != Path(cfg.work_dir).resolve():
        return cfg
    kept = source.with_stem(f'{source.stem}_rerun')
    return Config(cfg.to_dict(), cfg_text=cfg.text, filename=str(kept))


def made_by() -> str:
    """Commit, versions and hardware, on which figures may depend."""
    import torch

    from slnp_mm.evaluation.report import versions

    git = ['git', '-C', str(Path(__file__).parent), 'describe', '--always', '--dirty']
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git
        commit = ''
    software = [f'commit {commit or "unknown"}', *map(' '.join, versions().items())]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    return ', '.join([*software, f'{os.cpu_count()} CPU cores', gpu])


def log_to(cfg: Config, package: str, backend: str) -> None:
    """Send figures and pictures to TensorBoard or W&B as well."""
    if find_spec(package) is None:
        stop(f'--{package} needs the package {package}, which is not installed: pip install it')
    cfg.visualizer = cfg.get('visualizer') or dict(type='Visualizer', vis_backends=[])
    cfg.visualizer.vis_backends.append(dict(type=backend))


def import_custom(cfg: Config) -> None:
    """Import the modules that a config names, and this package."""
    from mmengine.utils import import_modules_from_strings

    import_modules_from_strings('slnp_mm')
    import_modules_from_strings(**(cfg.get('custom_imports') or dict(imports=None)))


def enable_amp(cfg: Config) -> None:
    """Switch every optimizer wrapper of a config to mixed precision.

    Raises:
        SLNPError: If a wrapper is of another type.
    """
    import torch

    from slnp_mm.errors import SLNPError

    old_gpu = torch.cuda.is_available() and not torch.cuda.is_bf16_supported(False)
    wrappers = [cfg.optim_wrapper]
    if 'optimizer' not in cfg.optim_wrapper:  # one wrapper for each network
        wrappers = [w for w in cfg.optim_wrapper.values() if isinstance(w, dict)]
    for wrapper in wrappers:
        kind = wrapper.get('type', 'OptimWrapper')
        if kind == 'OptimWrapper':
            wrapper.type = 'AmpOptimWrapper' if old_gpu else 'SLNPBF16OptimWrapper'
        elif kind not in ('AmpOptimWrapper', 'SLNPBF16OptimWrapper'):
            raise SLNPError(
                '--amp needs optimizer wrappers of the type OptimWrapper, '
                f'but the config has {kind}'
            )


def enable_auto_scale_lr(cfg: Config) -> None:
    """Let the runner scale learning rates with the total batch size."""
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        stop(
            '--auto-scale-lr needs the batch size that the learning rates '
            'are for: add --cfg-options auto_scale_lr.base_batch_size=N'
        )
    cfg.auto_scale_lr.enable = True


def build_runner(cfg: Config, whole: bool = False) -> Runner:
    """Build the runner; look at the checkpoint before it is loaded.

    Args:
        cfg (Config): With ``load_from``, or ``resume`` and ``work_dir``.
        whole (bool): Whether the checkpoint must hold each entry of the model; when training is
            resumed, it always must.

    Raises:
        SLNPError: If the checkpoint to resume or load from cannot be read or does not fit the
            model, a device is not there, or the config asks for a strategy.
    """
    _refuse_strategies(cfg)
    place = cfg.get('load_from')
    if place and '://' not in place:
        need(place, 'checkpoint', 'check the path')

    import torch
    from mmengine.model import is_model_wrapper
    from mmengine.runner import Runner

    from slnp_mm.checkpoint import check_checkpoint, last_checkpoint, read_checkpoint
    from slnp_mm.errors import check_device, check_seed

    import_custom(cfg)
    seed = (cfg.get('randomness') or {}).get('seed')
    if seed is not None:
        check_seed(seed, 'randomness.seed', 2**16)  # processes and workers add their numbers
    if cfg.get('device'):
        check_device(cfg.device)
    if cfg.get('randomness', {}).get('deterministic'):
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # or cuBLAS refuses
    _join_processes(cfg)
    if torch.cuda.is_available() and cfg.get('train_dataloader'):
        cfg.train_dataloader.setdefault('pin_memory', True)
    compiled = cfg.pop('compile', False)  # mmengine compiles train_step, optimizers and all
    if cfg.get('resume') and not place:
        place = cfg.load_from = last_checkpoint(cfg.work_dir)
    runner = Runner.from_cfg(cfg)
    if compiled:
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        model.compile(**({} if compiled is True else compiled))
    if place and '://' not in place:
        resume = bool(cfg.get('resume'))
        check_checkpoint(place, runner.model, whole or resume)
        done = (read_checkpoint(place, 'meta').get('meta') or {}).get('iter', 0) if resume else 0
        length = (cfg.get('train_cfg') or {}).get('max_iters')
        if length and done >= length:
            runner.logger.warning(
                f'nothing is left to train: {place} is at iteration {done} of '
                f'train_cfg.max_iters={length}; raise it to go on'
            )
    return runner


def _refuse_strategies(cfg: Config) -> None:
    """Refuse what splits a model of two optimizers over devices, or would be ignored."""
    from slnp_mm.errors import SLNPError

    wrapper = str((cfg.get('model_wrapper_cfg') or {}).get('type', ''))
    asked = [f'{key}={cfg[key]}' for key in ('strategy', 'runner_type') if cfg.get(key)]
    asked += [f'model_wrapper_cfg.type={wrapper}'] * ('FullySharded' in wrapper)
    if asked:
        raise SLNPError(
            f'{asked[0]} is not supported: FSDP, DeepSpeed and ColossalAI drive one optimizer, '
            'but generator and discriminator have one each; leave it out and start with '
            '--launcher pytorch or slurm'
        )


def _join_processes(cfg: Config) -> None:
    """Without CUDA, start distributed training through gloo.

    mmengine's own start sets a CUDA device whatever the backend is, and leaves that out where
    processes are joined already; it gives every model a GPU unless the config says otherwise.
    """
    import torch

    from slnp_mm.errors import SLNPError, check_device

    if cfg.launcher == 'none':
        return
    if torch.cuda.is_available():
        check_device(f'cuda:{os.environ["LOCAL_RANK"]}')
        return
    if cfg.launcher != 'pytorch':
        raise SLNPError(
            f'--launcher {cfg.launcher} needs CUDA, but torch finds no CUDA device here: start '
            'with torchrun and --launcher pytorch, which trains on CPUs too'
        )
    seconds = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }
    torch.distributed.init_process_group('gloo', timeout=seconds and timedelta(seconds=seconds))
