"""Made-up data sets, tiny priors and scorers: runs of a few seconds.

Only paths, sizes and widths of a config are changed: two iterations, 64 px
(32 for one stage), narrow networks, a scorer of random weights in the place
of DeepLabV3. A noise prior is trained by its own config first.
"""

import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

ROOT = Path(__file__).resolve().parents[1]

# Folders of images, labels and instances.
LAYOUTS = dict(
    coco=('images/{}', 'stuffthingmaps/{}', 'instances/{}', ('train2017', 'val2017')),
    ade20k=('images/{}', 'annotations/{}', None, ('training', 'validation')),
    camvid=('images/{}', 'annotations/{}', None, ('train', 'val')),
    nyuv2=('images/{}', 'annotations/{}', None, ('train', 'val')),
    nuclei=('images/{}', 'labels/{}', 'instances/{}', ('train', 'val')),
)
LAYOUTS['toy'] = LAYOUTS['coco']


def data_name(path):
    """'toy' of 'configs/ablations/slnp_toy_adam.py'."""
    return next(name for name in LAYOUTS if f'_{name}' in Path(path).stem)


def write_png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def make_data(root, name):
    """Two images a split: three stripes of classes, noise as picture."""
    images, labels, instances, splits = LAYOUTS[name]
    rng = np.random.default_rng(0)
    ids = [1, 0, 1] if name == 'nuclei' else [1, 2, 3]
    label = np.tile(np.repeat(np.array(ids, np.uint8), [24, 20, 20]), (64, 1))
    for split in splits:
        for i in range(2):
            picture = rng.integers(0, 255, (64, 64, 3), np.uint8)
            write_png(root / images.format(split) / f'{i}.jpg', picture)
            write_png(root / labels.format(split) / f'{i}.png', label)
            if instances:
                write_png(root / instances.format(split) / f'{i}.png', label)
    return root


def set_config(root, **settings):
    """The config of a data set of three classes in two folders."""
    pipeline = [
        dict(type='SLNPLoadImage'),
        dict(type='SLNPLoadLabel'),
        dict(type='SLNPLoadInstances', max_instances=8),
        dict(type='SLNPResize'),
        dict(type='SLNPPackInputs'),
    ]
    plain = dict(data_root=str(root), metainfo=dict(classes=('a', 'b', 'c')), image_size=16)
    return dict(type='SLNPDataset', **{**plain, 'pipeline': pipeline, **settings})


def loader_of(cfg, root, size):
    cfg.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.dataset.update(data_root=str(root), image_size=size)


def shrink(cfg, root, work_dir, size):
    """Two iterations on made-up data."""
    cfg.work_dir = str(work_dir)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.log_level = 'ERROR'
    cfg.load_from = None
    for name in ('train', 'val', 'test'):
        loader = cfg.get(f'{name}_dataloader')
        if loader is not None:
            loader_of(loader, root, size)
    cfg.default_hooks.checkpoint.update(interval=2)
    return cfg


def narrow(model):
    """Narrow networks of the same depth and kind."""
    model.generator.global_generator.update(base_channels=8, max_channels=8)
    for refiner in model.generator.refiners:
        refiner.update(base_channels=8, attention_channels=8)
    pretrained = model.discriminator.type == 'SLNPPretrainedDiscriminator'
    model.discriminator.update(
        dict(channels=8, embed_channels=8) if pretrained else dict(base_channels=8, max_channels=8)
    )
    narrow_prior(model.noise_prior)
    from slnp_mm.models import NoisePriorVAE

    prior = {k: v for k, v in model.noise_prior.items() if k != 'type'}
    model.generator.noise_shape = NoisePriorVAE(**prior).latent_shape


def narrow_prior(model):
    model.update(image_size=2 * 2**model.num_scales, latent_channels=4, base_channels=4)
    model.code_rank = min(model.get('code_rank', 0), 1)  # two images a split


def prior_config(cfg):
    """'configs/noise_prior_toy.py' of a GAN's config."""
    from slnp_mm.engine.hooks.slnp_prior_hook import prior_config

    return prior_config(cfg.model.prior_checkpoint, cfg.filename)


def set_scorer(cfg, scorer):
    """Score by random weights."""
    classes = 171 if cfg.model.num_classes == 182 else cfg.model.num_classes
    metrics = cfg.val_evaluator.metrics
    for metric in metrics if isinstance(metrics, list) else [metrics]:
        metric['scorer'] = scorer(classes)


@pytest.fixture(autouse=True, scope='session')
def _plain_configs():
    """mmengine sets a config in neat lines at each start and save: longer than two iterations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.config.FormatCode', lambda text, **_: (text, True))
        yield


@pytest.fixture(scope='session')
def tiny():
    """The helpers of this file, for tests that cannot import it."""
    return sys.modules[__name__]


@pytest.fixture
def repository(monkeypatch):
    """Relative paths start at the repository; the scope is left as found."""
    monkeypatch.chdir(ROOT)
    with DefaultScope.overwrite_default_scope('mmagic'):
        yield


@pytest.fixture(scope='session')
def datasets(tmp_path_factory):
    """Root of each made-up data set."""
    import slnp_mm  # noqa: F401

    folder = tmp_path_factory.mktemp('data')
    return {name: make_data(folder / name, name) for name in LAYOUTS}


@pytest.fixture(scope='session')
def scorer(tmp_path_factory):
    """Make a scorer of random weights for a number of classes."""
    from slnp_mm.evaluation.scorers.deeplabv3 import _build_segmentor

    folder = tmp_path_factory.mktemp('scorer')

    def make(num_classes):
        config = folder / f'scorer_{num_classes}.py'
        checkpoint = config.with_suffix('.pth')
        if not checkpoint.exists():
            config.write_text(SCORER.format(num_classes))
            model = _build_segmentor(Config.fromfile(str(config)))
            torch.save(dict(state_dict=model.state_dict()), checkpoint)
        return dict(config=str(config), checkpoint=str(checkpoint))

    return make


SCORER = """
model = dict(
    _scope_='mmseg', type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[127.5] * 3, std=[127.5] * 3,
        bgr_to_rgb=True, size=(32, 32)),
    backbone=dict(
        type='ResNetV1c', depth=18, num_stages=1, stem_channels=8,
        base_channels=8, out_indices=(0, ), strides=(1, ), dilations=(1, ),
        norm_cfg=dict(type='BN')),
    decode_head=dict(
        type='ASPPHead', in_channels=8, in_index=0, channels=8,
        dilations=(1, 2), num_classes={}, norm_cfg=dict(type='BN'),
        align_corners=False),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
"""


@pytest.fixture(scope='session')
def priors(datasets, tmp_path_factory):
    """Train a prior by its own config, once."""
    made = {}

    def train(path):
        if path not in made:
            work_dir = tmp_path_factory.mktemp('prior') / Path(path).stem
            cfg = Config.fromfile(path)
            shrink(cfg, datasets[data_name(path)], work_dir, 16)
            narrow_prior(cfg.model)
            runner = Runner.from_cfg(cfg)
            runner.train()
            made[path] = runner
        return made[path]

    return train


def load(name):
    """Load a tool afresh, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f'tools/{name}.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture
def load_tool(monkeypatch):
    """Load a tool and give it the words of a command line."""

    def give(name, *words):
        monkeypatch.setattr(sys, 'argv', [f'tools/{name}.py', *map(str, words)])
        return load(name)

    return give


@pytest.fixture(scope='session')
def use():
    """Run a tool as from the command line: its exit code."""

    def run(name, *words):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, 'argv', [f'tools/{name}.py', *map(str, words)])
            tool = load(name)
            try:
                return tool.cli.run_tool(tool.main)
            except SystemExit as stop:
                return stop.code

    return run
