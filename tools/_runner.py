"""Runners as the tools build them: checks, devices, processes."""

import os
import subprocess
from datetime import timedelta
from pathlib import Path

import mmengine
import torch
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from slnp_mm.checkpoint import check_checkpoint, last_checkpoint, read_checkpoint
from slnp_mm.errors import SLNPError, check_device, check_file, check_seed
from slnp_mm.evaluation.report import versions
from slnp_mm.files import replace_file


class SaveScoresHook(Hook):
    """Writes the scores of a test, which mmagic's test loop gives to hooks only."""

    def __init__(self, path: str) -> None:
        self.path = path

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write them."""
        with replace_file(self.path) as draft:
            mmengine.dump(metrics or {}, draft)


def made_by() -> str:
    """Commit, versions and hardware, on which figures may depend."""
    git = ['git', '-C', str(Path(__file__).parent), 'describe', '--always', '--dirty']
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git
        commit = ''
    software = [f'commit {commit or "unknown"}', *map(' '.join, versions().items())]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    return ', '.join([*software, f'{os.cpu_count()} CPU cores', gpu])


def import_custom(cfg: Config) -> None:
    """Import the modules that a config names; this package is imported already."""
    import_modules_from_strings(**(cfg.get('custom_imports') or dict(imports=None)))


def enable_amp(cfg: Config) -> None:
    """Switch every optimizer wrapper of a config to mixed precision.

    Raises:
        SLNPError: If a wrapper is of another type.
    """
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
        check_file(place, 'checkpoint', 'check the path')

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
        model = getattr(runner.model, 'module', runner.model)
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
    """Look for each process's GPU and port; without CUDA, start through gloo.

    mmengine's own start sets a CUDA device whatever the backend is, and leaves that out where
    processes are joined already; it gives every model a GPU unless the config says otherwise.
    """
    if cfg.launcher == 'none':
        return
    if cfg.launcher == 'slurm':  # jobs on one node would share mmengine's port
        job = int(os.environ.get('SLURM_JOB_ID', 0))
        os.environ.setdefault('MASTER_PORT', str(20000 + job % 10000))
    if torch.cuda.is_available():
        number = os.environ.get('SLURM_LOCALID' if cfg.launcher == 'slurm' else 'LOCAL_RANK', 0)
        check_device(f'cuda:{number}')
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
