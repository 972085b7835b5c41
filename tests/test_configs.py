"""Every config loads and builds; every runnable one trains two iterations.

Only paths, sizes and widths are changed: two iterations, 64 px (32 for one
stage), narrow networks, a scorer of random weights in the place of
DeepLabV3. The noise prior of a data set is trained by its own config first.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

ROOT = Path(__file__).resolve().parents[1]
RUNNABLE = sorted(
    str(path.relative_to(ROOT))
    for folder in ('configs', 'configs/ablations')
    for path in (ROOT / folder).glob('*.py')
)
PRIORS = [path for path in RUNNABLE if 'noise_prior' in path]
GANS = [path for path in RUNNABLE if path not in PRIORS]

# Folders of images, labels and instances; ids are valid in every set.
LAYOUTS = dict(
    coco=(
        'images/{}',
        'stuffthingmaps/{}',
        'instances/{}',
        ('train2017', 'val2017'),
    ),
    ade20k=('images/{}', 'annotations/{}', None, ('training', 'validation')),
    camvid=('images/{}', 'annotations/{}', None, ('train', 'val')),
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
    label = np.repeat(np.array([1, 2, 3], np.uint8), [24, 20, 20])
    label = np.tile(label, (64, 1))
    for split in splits:
        for i in range(2):
            picture = rng.integers(0, 255, (64, 64, 3), np.uint8)
            write_png(root / images.format(split) / f'{i}.jpg', picture)
            write_png(root / labels.format(split) / f'{i}.png', label)
            if instances:
                write_png(root / instances.format(split) / f'{i}.png', label)
    return root


def loader_of(cfg, root, size):
    cfg.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.dataset.update(data_root=str(root), image_size=size)
    for step in cfg.dataset.pipeline:
        if step['type'] == 'SLNPLoadInstances':
            step['cache_dir'] = None


def shrink(cfg, root, work_dir, size):
    """Two iterations on made-up data."""
    cfg.work_dir = str(work_dir)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.log_level = 'ERROR'
    for name in ('train', 'val', 'test'):
        loader = cfg.get(f'{name}_dataloader')
        if loader is not None:
            loader_of(loader, root, size)
    cfg.default_hooks.checkpoint.update(interval=2)
    return cfg


def narrow(model, noise_shape=(4, 2, 2)):
    """Narrow networks of the same depth and kind."""
    model.generator.noise_shape = noise_shape
    model.generator.global_generator.update(base_channels=8, max_channels=8)
    for refiner in model.generator.refiners:
        refiner.update(base_channels=8, attention_channels=8)
    model.discriminator.update(base_channels=8, max_channels=8)
    narrow_prior(model.noise_prior)


def narrow_prior(model):
    model.update(
        image_size=2 * 2**model.num_scales, latent_channels=4, base_channels=4
    )


@pytest.fixture(autouse=True)
def _repository(monkeypatch):
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
    """Train a data set's prior by its own config, once."""
    made = {}

    def train(name):
        if name not in made:
            work_dir = tmp_path_factory.mktemp('prior') / name
            cfg = Config.fromfile(f'configs/noise_prior_{name}.py')
            shrink(cfg, datasets[name], work_dir, 16)
            narrow_prior(cfg.model)
            runner = Runner.from_cfg(cfg)
            runner.train()
            made[name] = runner
        return made[name]

    return train


@pytest.mark.parametrize(
    'path',
    sorted(str(p.relative_to(ROOT)) for p in (ROOT / 'configs').rglob('*.py')),
)
def test_config_loads(path):
    cfg = Config.fromfile(path)
    assert cfg.filename.endswith(path)
    assert len(cfg) > 0


@pytest.mark.parametrize('path', RUNNABLE)
def test_model_builds_as_written(path):
    """At full width, on the meta device: no memory, no time."""
    from mmagic.registry import MODELS

    cfg = Config.fromfile(path)
    assert cfg.default_scope == 'mmagic'
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert model.data_preprocessor is not None
    assert sum(p.numel() for p in model.parameters()) > 1e5


@pytest.mark.parametrize('name', ['coco', 'ade20k', 'camvid', 'toy'])
def test_gan_and_prior_of_a_data_set_agree(name):
    """Class counts follow the data set; the prior is the one trained."""
    from mmagic.registry import DATASETS, MODELS

    gan = Config.fromfile(f'configs/slnp_{name}.py')
    prior = Config.fromfile(f'configs/noise_prior_{name}.py')
    with torch.device('meta'):
        shapes = [
            {k: v.shape for k, v in MODELS.build(cfg).state_dict().items()}
            for cfg in (gan.model.noise_prior, prior.model)
        ]
    assert shapes[0] == shapes[1]
    assert gan.model.noise_prior.arrangement == prior.model.arrangement
    assert gan.model.prior_checkpoint == f'work_dirs/noise_prior_{name}'
    assert (
        gan.model.prior_command
        == f'python tools/train.py configs/noise_prior_{name}.py'
    )
    dataset = DATASETS.build(
        {**gan.train_dataloader.dataset, 'lazy_init': True}
    )
    count = len(dataset.metainfo['classes'])
    assert {
        gan.model.generator.num_classes,
        gan.model.discriminator.num_classes,
        gan.model.data_preprocessor.num_classes,
        prior.model.data_preprocessor.num_classes,
    } == {count}


@pytest.mark.parametrize('path', PRIORS)
def test_prior_config_trains(path, priors):
    runner = priors(data_name(path))
    assert runner.iter == 2
    assert runner.model.is_trained
    assert list(Path(runner.work_dir).glob('*.pth'))


@pytest.mark.parametrize('path', GANS)
def test_gan_config_trains_and_scores(
    path, datasets, priors, scorer, tmp_path
):
    cfg = Config.fromfile(path)
    name = data_name(path)
    size = 32 * 2 ** len(cfg.model.generator.refiners)
    shrink(cfg, datasets[name], tmp_path, size)
    narrow(cfg.model)
    cfg.model.prior_checkpoint = priors(name).work_dir
    classes = 171 if name == 'coco' else cfg.model.generator.num_classes
    metrics = cfg.val_evaluator.metrics
    for metric in metrics if isinstance(metrics, list) else [metrics]:
        if metric['type'] == 'SLNPSegMetric':
            metric['scorer'] = scorer(classes)
    runner = Runner.from_cfg(cfg)
    before = {k: v.clone() for k, v in runner.model.named_parameters()}
    runner.train()
    assert runner.iter == 2
    moved = {
        k for k, v in runner.model.named_parameters() if not v.equal(before[k])
    }
    for part in ('generator.global_generator', 'discriminator.stages.0'):
        assert any(k.startswith(part) for k in moved), part
    assert all(v.isfinite().all() for v in runner.model.state_dict().values())
    if runner.model.noise_prior is not None:
        own = runner.model.noise_prior.state_dict()
        trained = priors(name).model.state_dict()
        assert all(own[key].equal(trained[key]) for key in own)
    scalars = runner.message_hub.log_scalars
    assert 'val/mIoU' in scalars and 'val/real/mIoU' in scalars
    assert DefaultScope.get_current_instance().scope_name == 'mmagic'


FOREIGN = """
default_scope = 'mmagic'
custom_imports = dict(imports=['slnp_mm'], allow_failed_imports=False)
pipeline = [
    dict(type='SLNPLoadImage'), dict(type='SLNPLoadLabel'),
    dict(type='SLNPResize', size=64),
    dict(type='SLNPLabelToImage', image_domain='img'),
    dict(type='CopyValues', src_keys=['img', 'label'],
         dst_keys=['gt_img', 'gt_sem_seg']),
    dict(type='PackInputs', keys=['img_mask', 'img_img'],
         data_keys=['gt_img', 'gt_sem_seg'],
         meta_keys=['img_path', 'sample_idx'])]
train_dataloader = dict(
    batch_size=2, num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='SLNPToyScenes', split='train2017', pipeline=pipeline))
val_dataloader = dict(
    batch_size=2, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SLNPToyScenes', split='val2017', pipeline=pipeline))
model = dict(
    type='Pix2Pix',
    data_preprocessor=dict(
        type='DataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3),
    generator=dict(
        type='UnetGenerator', in_channels=3, out_channels=3, num_down=5,
        base_channels=8, norm_cfg=dict(type='BN')),
    discriminator=dict(
        type='PatchDiscriminator', in_channels=6, base_channels=8,
        num_conv=3, norm_cfg=dict(type='BN')),
    default_domain='img', reachable_domains=['img'],
    related_domains=['img', 'mask'])
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    generators=dict(type='OptimWrapper', optimizer=dict(type='AMM', lr=1e-4)),
    discriminators=dict(
        type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4)))
train_cfg = dict(by_epoch=False, max_iters=2, val_interval=2)
val_cfg = dict(type='MultiValLoop')
val_evaluator = dict(type='Evaluator', metrics=dict(type='SLNPSegMetric'))
log_level = 'ERROR'
"""


def test_somebody_elses_model_trains_on_our_data_and_score(
    datasets, scorer, tmp_path, monkeypatch
):
    """mmagic's Pix2Pix, UnetGenerator and PatchDiscriminator.

    Only their initialisation is left out: `generation_init_weights` of
    mmagic 1.2.0 reads an unset variable (`init_info`) in any runner, with
    or without this package. torch's own initial weights are as good here.
    """
    cfg = Config.fromstring(FOREIGN, '.py')
    cfg.work_dir = str(tmp_path)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = str(datasets['toy'])
    cfg.val_evaluator.metrics.scorer = scorer(10)
    runner = Runner.from_cfg(cfg)
    monkeypatch.setattr(type(runner.model), 'init_weights', lambda _: None)
    before = [p.clone() for p in runner.model.parameters()]
    runner.train()
    assert runner.iter == 2
    assert type(runner.model).__module__.startswith('mmagic.')
    assert any(
        not p.equal(q) for p, q in zip(runner.model.parameters(), before)
    )
    scalars = runner.message_hub.log_scalars
    assert 0 <= scalars['val/PA'].current() <= 100
    assert 'val/real/PA' in scalars
