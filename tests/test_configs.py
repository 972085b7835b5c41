"""Every config loads and builds; every runnable one trains two iterations.

At tiny sizes, see conftest.py.
"""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
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

pytestmark = pytest.mark.usefixtures('repository')


@pytest.mark.parametrize(
    'path', sorted(str(p.relative_to(ROOT)) for p in (ROOT / 'configs').rglob('*.py'))
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


@pytest.mark.parametrize(
    'path',
    [path for path in GANS if 'toy' not in path or 'prior' in path] + ['configs/slnp_toy.py'],
)
def test_gan_and_its_prior_agree(path, tiny):
    """Class counts follow the data set; the prior is the one trained."""
    from mmagic.registry import DATASETS, MODELS

    gan = Config.fromfile(path)
    prior = Config.fromfile(tiny.prior_config(gan))
    with torch.device('meta'):
        shapes = [
            {k: v.shape for k, v in MODELS.build(cfg).state_dict().items()}
            for cfg in (gan.model.noise_prior, prior.model)
        ]
    assert shapes[0] == shapes[1]
    assert gan.model.noise_prior.arrangement == prior.model.arrangement
    stem = Path(tiny.prior_config(gan)).stem
    assert gan.model.prior_checkpoint == f'work_dirs/{stem}'
    dataset = DATASETS.build({**gan.train_dataloader.dataset, 'lazy_init': True})
    count = len(dataset.metainfo['classes'])
    assert {gan.model.num_classes, prior.model.data_preprocessor.num_classes} == {count}


@pytest.mark.parametrize('path', PRIORS)
def test_prior_config_trains(path, priors):
    runner = priors(path)
    assert runner.iter == 2
    assert runner.model.is_trained
    assert list(Path(runner.work_dir).glob('*.pth'))


@pytest.mark.parametrize('path', GANS)
def test_gan_config_trains_and_scores(path, datasets, priors, scorer, tmp_path, tiny):
    cfg = Config.fromfile(path)
    name = tiny.data_name(path)
    size = 32 * 2 ** len(cfg.model.generator.refiners)
    tiny.shrink(cfg, datasets[name], tmp_path, size)
    tiny.narrow(cfg.model)
    prior = priors(tiny.prior_config(cfg))
    cfg.model.prior_checkpoint = prior.work_dir
    tiny.set_scorer(cfg, scorer)
    runner = Runner.from_cfg(cfg)
    before = {k: v.clone() for k, v in runner.model.named_parameters()}
    runner.train()
    assert runner.iter == 2
    moved = {k for k, v in runner.model.named_parameters() if not v.equal(before[k])}
    for part in ('generator.global_generator', 'discriminator.stages.0'):
        assert any(k.startswith(part) for k in moved), part
    assert all(v.isfinite().all() for v in runner.model.state_dict().values())
    if runner.model.noise_prior is not None:
        own = runner.model.noise_prior.state_dict()
        trained = prior.model.state_dict()
        assert all(own[key].equal(trained[key]) for key in own)
    scalars = runner.message_hub.log_scalars
    names = {'val/mIoU', 'val/real/mIoU'}
    if path == 'configs/slnp_toy.py':
        names |= {'val/instance_diversity', 'val/diversity_scorer'}
        assert 'instance_diversity' in (tmp_path / 'val_report.json').read_text()
    assert names <= set(scalars)
    assert DefaultScope.get_current_instance().scope_name == 'mmagic'


class Watch(Hook):
    """Keeps the weights that training starts with."""

    def before_train_iter(self, runner, *args, **kwargs):
        if runner.iter == 0:
            state = runner.model.state_dict()
            self.start = {k: v.clone() for k, v in state.items()}


def test_third_stage_goes_on_from_a_checkpoint_of_two(datasets, priors, tmp_path, capsys, tiny):
    """Config only: lower stages and prior load, one warning, trains without a prior's file."""
    from mmagic.registry import MODELS

    third_stage = Config.fromfile('configs/slnp_coco_512.py')
    tiny.shrink(third_stage, datasets['coco'], tmp_path / 'run', 128)
    tiny.narrow(third_stage.model)
    third_stage.model.prior_checkpoint = str(tmp_path / 'nowhere/noise_prior_coco')
    third_stage.val_dataloader = third_stage.val_cfg = third_stage.val_evaluator = None
    cfg = Config.fromfile('configs/slnp_coco.py')
    tiny.narrow(cfg.model)
    two = MODELS.build(cfg.model)
    prior = priors(tiny.prior_config(cfg)).model.state_dict()
    own = two.noise_prior.state_dict()
    two.noise_prior.load_state_dict({key: prior[key] for key in own})
    third_stage.load_from = str(tmp_path / 'two.pth')
    stored = {k: v.clone() for k, v in two.state_dict().items()}
    torch.save(dict(state_dict=stored), third_stage.load_from)

    runner, watch = Runner.from_cfg(third_stage), Watch()
    runner.register_hook(watch)
    capsys.readouterr()
    runner.train()
    said = ''.join(capsys.readouterr())
    assert said.count('do not match exactly') == 1
    assert 'unexpected key' not in said and 'size mismatch' not in said
    assert runner.iter == 2
    assert all(watch.start[k].equal(v) for k, v in stored.items())
    new = set(watch.start) - set(stored)
    assert new and all('refiners.1.' in k or 'stages.2.' in k for k in new)
    state = runner.model.state_dict()
    moved = {k for k, v in state.items() if not v.equal(watch.start[k])}
    for part in ('global_generator', 'refiners.0', 'refiners.1', 'stages.2'):
        assert any(part in k for k in moved), part
    assert not any('noise_prior' in k for k in moved)
