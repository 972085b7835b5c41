"""How the tools build runners: checks, devices, processes."""

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
    """Writes the scores of a test, which mmagic's test loop passes to hooks only."""

    def __init__(self, path: str) -> None:
        self.path = path

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write the scores."""
        with replace_file(self.path) as draft:
            mmengine.dump(metrics or {}, draft)


def made_by() -> str:
    """Commit, versions and hardware."""
    git = ['git', '-C', str(Path(__file__).parent), 'describe', '--always', '--dirty']
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git
        commit = ''
    software = [f'commit {commit or "unknown"}', *map(' '.join, versions().items())]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    return ', '.join([*software, f'{os.cpu_count()} CPU cores', gpu])


def import_custom(cfg: Config) -> None:
    """Import the modules that a config names."""
    import_modules_from_strings(**(cfg.get('custom_imports') or dict(imports=None)))


def amp_wrapper() -> str:
    """Type of the optimizer wrapper for mixed precision on this machine."""
    old_gpu = torch.cuda.is_available() and not torch.cuda.is_bf16_supported(False)
    return 'AmpOptimWrapper' if old_gpu else 'SLNPBF16OptimWrapper'


def enable_amp(cfg: Config) -> None:
    """Switch every optimizer wrapper of a config to mixed precision."""
    wrappers = [cfg.optim_wrapper]
    if 'optimizer' not in cfg.optim_wrapper:  # one wrapper per network
        wrappers = [w for w in cfg.optim_wrapper.values() if isinstance(w, dict)]
    for wrapper in wrappers:
        kind = wrapper.get('type', 'OptimWrapper')
        if kind == 'OptimWrapper':
            wrapper.type = amp_wrapper()
        elif kind not in ('AmpOptimWrapper', 'SLNPBF16OptimWrapper'):
            raise SLNPError(
                '--amp needs optimizer wrappers of the type OptimWrapper, but the config has '
                f'{kind}: change their type, or drop --amp'
            )


def build_runner(cfg: Config, whole: bool = False) -> Runner:
    """Build the runner after checking config, device and checkpoint.

    Args:
        cfg (Config): With ``load_from``, or ``resume`` and ``work_dir``.
        whole (bool): Whether the checkpoint must contain every entry of the model, as it always
            must to resume training.
    """
    _refuse_strategies(cfg)
    place = cfg.get('load_from')
    if place and '://' not in place:
        check_file(place, 'checkpoint', 'check the path')

    import_custom(cfg)
    seed = (cfg.get('randomness') or {}).get('seed')
    if seed is not None:
        check_seed(seed, 'randomness.seed', 2**16)  # ranks and workers are added
    if cfg.get('device'):
        check_device(cfg.device)
    if cfg.get('randomness', {}).get('deterministic'):
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # required by cuBLAS
    _join_processes(cfg)
    if torch.cuda.is_available() and cfg.get('train_dataloader'):
        cfg.train_dataloader.setdefault('pin_memory', True)
    if cfg.get('resume') and not place:
        place = cfg.load_from = last_checkpoint(cfg.work_dir)
    runner = Runner.from_cfg(cfg)
    if place and '://' not in place:
        resume = bool(cfg.get('resume'))
        check_checkpoint(place, runner.model, whole or resume)
        done = (read_checkpoint(place, 'meta').get('meta') or {}).get('iter', 0) if resume else 0
        length = (cfg.get('train_cfg') or {}).get('max_iters')
        if length and done >= length:
            runner.logger.warning(
                f'nothing is left to train: {place} is at iteration {done} of '
                f'train_cfg.max_iters={length}; raise max_iters to continue'
            )
    return runner


def _refuse_strategies(cfg: Config) -> None:
    """Refuse sharding strategies, which do not work with two optimizers, and ``compile``."""
    wrapper = str((cfg.get('model_wrapper_cfg') or {}).get('type', ''))
    asked = [f'{key}={cfg[key]}' for key in ('strategy', 'runner_type') if cfg.get(key)]
    asked += [f'model_wrapper_cfg.type={wrapper}'] * ('FullySharded' in wrapper)
    if cfg.get('compile'):
        raise SLNPError(
            'compile is not supported: compiled networks took longer on a CPU (docs/scaling.md); '
            'remove it, and use --cuda-graph on a GPU'
        )
    if asked:
        raise SLNPError(
            f'{asked[0]} is not supported: FSDP, DeepSpeed and ColossalAI handle one optimizer, '
            'but generator and discriminator have one each; remove it and start with '
            '--launcher pytorch or slurm'
        )


def _join_processes(cfg: Config) -> None:
    """Check the GPU of each process; without CUDA, initialize gloo.

    mmengine sets a CUDA device for any backend unless the process group exists, and puts every
    model on a GPU unless ``device_ids`` is None.
    """
    if cfg.launcher == 'none':
        return
    if cfg.launcher == 'slurm':  # avoid sharing mmengine's port with other jobs
        job = int(os.environ.get('SLURM_JOB_ID', 0))
        os.environ.setdefault('MASTER_PORT', str(20000 + job % 10000))
    if torch.cuda.is_available():
        number = os.environ.get('SLURM_LOCALID' if cfg.launcher == 'slurm' else 'LOCAL_RANK', 0)
        check_device(f'cuda:{number}')
        return
    if cfg.launcher != 'pytorch':
        raise SLNPError(
            f'--launcher {cfg.launcher} needs CUDA, but torch finds no CUDA device here: start '
            'with torchrun and --launcher pytorch, which also works on CPUs'
        )
    seconds = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }
    torch.distributed.init_process_group('gloo', timeout=seconds and timedelta(seconds=seconds))
