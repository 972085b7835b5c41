"""Train a scorer with mmseg's own runner, on real training images only."""

import json
import os
import time

import mmengine
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from .deeplabv3 import file_sha256

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def set_data_root(cfg: Config, data_root: str) -> None:
    """Point all three loaders of a scorer config at ``data_root``."""
    for name in LOADERS:
        cfg[name].dataset.data_root = data_root


def set_length(cfg: Config, max_iters: int) -> None:
    """Train for ``max_iters`` iterations, schedule included."""
    cfg.train_cfg.max_iters = max_iters
    cfg.train_cfg.val_interval = max_iters
    cfg.param_scheduler.total_steps = max_iters


def train_scorer(cfg: Config) -> dict:
    """Train, judge the real validation images, export weights and record.

    Two files are written beside the logs: ``scorer.pth`` (a plain state
    dict, loads with ``weights_only``) and ``scorer.json``.

    Args:
        cfg (Config): A config of ``configs/scorers`` with ``work_dir``.

    Returns:
        dict: The record, see :func:`build_record`.

    Raises:
        DataError: If the data set is missing or wrong.
    """
    start = time.time()
    with DefaultScope.overwrite_default_scope('mmseg'):
        runner = Runner.from_cfg(cfg)
        runner.train()
    seconds = time.time() - start
    path = os.path.join(cfg.work_dir, 'scorer.pth')
    model = runner.model
    model = getattr(model, 'module', model)
    state = {k: v.cpu() for k, v in model.state_dict().items()}
    _replace(path, lambda tmp: torch.save(dict(state_dict=state), tmp))
    record = build_record(cfg, runner, seconds, path)
    _replace(
        os.path.join(cfg.work_dir, 'scorer.json'),
        lambda tmp: mmengine.dump(record, tmp, 'json', indent=2),
    )
    return record


def build_record(cfg: Config, runner: Runner, seconds: float, path: str) -> dict:
    """What a report says about a trained scorer.

    Args:
        cfg (Config): Training config.
        runner (Runner): After training.
        seconds (float): Wall time of training.
        path (str): The exported weights.

    Returns:
        dict: Data, size, iterations, seed, ceiling in percent, SHA-256.
    """
    train = cfg.train_dataloader.dataset
    return dict(
        config=os.path.basename(cfg.filename),
        data=dict(
            dataset=train.type.split('.')[-1],
            root=os.path.basename(os.path.normpath(train.data_root or '')),
            train=train.split,
            train_images=len(runner.train_dataloader.dataset),
            val=cfg.val_dataloader.dataset.split,
            val_images=len(runner.val_dataloader.dataset),
        ),
        input_size=list(cfg.scorer.input_size),
        resize_filter=cfg.scorer.resize_filter,
        iterations=int(runner.iter),
        batch_size=int(cfg.train_dataloader.batch_size),
        seed=runner.seed,
        seconds=round(seconds, 1),
        ceiling={
            'PA': _last(runner, 'aAcc'),
            'mIoU': _last(runner, 'mIoU'),
            'mAcc': _last(runner, 'mAcc'),
        },
        sha256=file_sha256(path),
    )


def _last(runner: Runner, name: str) -> float:
    """Mmseg's figure of the validation after the last iteration."""
    value = runner.message_hub.get_scalar(f'val/{name}').current()
    return round(float(value), 2)


def _replace(path: str, write) -> None:
    """Write under another name, then move into place."""
    tmp = f'{path}.tmp{os.getpid()}'
    try:
        write(tmp)
        os.replace(tmp, path)
    finally:
        if os.path.exists(tmp):
            os.remove(tmp)


def load_record(path: str) -> dict:
    """Read a ``scorer.json``."""
    with open(path, encoding='utf-8') as file:
        return json.load(file)
