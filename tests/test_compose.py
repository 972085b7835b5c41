"""The code of docs/compose.md runs as it stands."""

import re
import sys

import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from slnp_mm.engine.optimizers import AMM

pytestmark = pytest.mark.usefixtures('repository')


@pytest.fixture
def blocks(request):
    """Code of the page by heading."""
    text = (request.config.rootpath / 'docs/compose.md').read_text()
    parts = dict(part.split('\n', 1) for part in text.split('\n## ')[1:])
    return {title: re.findall(r'```python\n(.*?)```', part, re.S) for title, part in parts.items()}


def train(cfg, before=lambda model: None):
    """Two iterations; give the runner and the networks' parts that moved."""
    runner = Runner.from_cfg(cfg)
    before(runner.model)
    old = {key: value.clone() for key, value in runner.model.named_parameters()}
    runner.train()
    assert runner.iter == 2
    new = runner.model.named_parameters()
    return runner, {key.split('.')[0] for key, value in new if not value.equal(old[key])}


def test_generator_in_a_gan_of_ones_own(blocks, datasets, scorer, tmp_path, tiny, monkeypatch):
    code, config = blocks['Our generator in your own GAN']
    (tmp_path / 'ls_gan.py').write_text(code)
    (tmp_path / 'slnp_ls.py').write_text(config)
    monkeypatch.syspath_prepend(str(tmp_path))
    cfg = Config.fromfile(str(tmp_path / 'slnp_ls.py'))
    tiny.shrink(cfg, datasets['toy'], tmp_path / 'run', 64)
    for metric in cfg.val_evaluator.metrics:
        metric.scorer = scorer(10)
    runner, moved = train(cfg)
    assert moved == {'generator', 'discriminator'}
    scalars = runner.message_hub.log_scalars
    assert {'val/PA', 'val/scorer_frechet', 'val/diversity_scorer'} <= set(scalars)
    MODELS._module_dict.pop('LeastSquaresGAN')
    sys.modules.pop('ls_gan')


def test_amm_in_configs_of_mmagic_and_mmseg(blocks, tmp_path):
    ours, theirs = blocks['AMM in other configs']
    for name, text in (('pix2pix.py', ours), ('fcn.py', theirs)):
        (tmp_path / name).write_text(text)

    cfg = Config.fromfile(str(tmp_path / 'pix2pix.py'))
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    wrappers = build_optim_wrapper(model, cfg.optim_wrapper)
    for name in ('generators', 'discriminators'):
        optimizer = wrappers[name].optimizer
        assert type(optimizer) is AMM and optimizer.param_groups[0]['momentum'] == 0.5

    cfg = Config.fromfile(str(tmp_path / 'fcn.py'))
    with DefaultScope.overwrite_default_scope('mmseg'):
        network = torch.nn.Linear(2, 1)
        wrapper = build_optim_wrapper(network, cfg.optim_wrapper)
    assert type(wrapper.optimizer) is AMM
    before = network.weight.clone()
    wrapper.update_params(network(torch.ones(1, 2)).sum())
    # the first step of AMM is lr times the sign of the gradient
    torch.testing.assert_close(network.weight, before - 1e-3, atol=1e-6, rtol=0)


def test_data_and_score_with_somebody_elses_model(
    blocks, datasets, scorer, tmp_path, tiny, monkeypatch
):
    (config,) = blocks['Our data and scores with another model']
    cfg = Config.fromstring(config, '.py')
    cfg.work_dir, cfg.log_level = str(tmp_path), 'ERROR'
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = str(datasets['toy'])
    cfg.val_evaluator.metrics.scorer = scorer(10)
    runner, moved = train(
        cfg, lambda model: monkeypatch.setattr(type(model), 'init_weights', lambda _: None)
    )
    assert moved == {'generators', 'discriminators'}
    assert type(runner.model).__module__.startswith('mmagic.')
    scalars = runner.message_hub.log_scalars
    assert 0 <= scalars['val/PA'].current() <= 100
    assert 'val/real/PA' in scalars


def test_discriminators_with_another_generator(blocks):
    (code,) = blocks['Our discriminators with another generator']
    names = {}
    torch.manual_seed(0)
    exec(code, names)
    networks = names['generator'], names['discriminator']
    before = [[value.clone() for value in network.parameters()] for network in networks]
    label, image = torch.randint(10, (2, 32, 32)), torch.rand(2, 3, 32, 32) * 2 - 1
    for _ in range(2):
        assert all(map(torch.isfinite, map(torch.tensor, names['train_step'](label, image))))
    for network, old in zip(networks, before):
        assert all(not new.equal(value) for new, value in zip(network.parameters(), old))
