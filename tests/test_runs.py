"""Runs that need more than a config of their own."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from slnp_mm.errors import SLNPError

pytestmark = pytest.mark.usefixtures('repository')


class Watch(Hook):
    """Keeps the weights that training starts with."""

    def before_train_iter(self, runner, *args, **kwargs):
        if runner.iter == 0:
            state = runner.model.state_dict()
            self.start = {k: v.clone() for k, v in state.items()}


@pytest.fixture
def third_stage(datasets, tmp_path, tiny):
    """The 512 px config without a prior file and without validation."""
    cfg = Config.fromfile('configs/slnp_coco_512.py')
    tiny.shrink(cfg, datasets['coco'], tmp_path / 'run', 128)
    tiny.narrow(cfg.model)
    cfg.model.prior_checkpoint = str(tmp_path / 'nowhere/noise_prior_coco')
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    return cfg


def test_third_stage_goes_on_from_a_checkpoint_of_two(third_stage, priors, tmp_path, capsys, tiny):
    """Config only: lower stages and prior load, one warning, trains."""
    from mmagic.registry import MODELS

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


def test_fresh_run_without_a_prior_ends_before_the_first_batch(third_stage):
    runner, watch = Runner.from_cfg(third_stage), Watch()
    runner.register_hook(watch)
    text = (
        'expected a trained noise prior at .*nowhere.*, but there is none: train it with '
        r'"python tools/train\.py configs/noise_prior_coco\.py"'
    )
    with pytest.raises(SLNPError, match=text):
        runner.train()
    assert runner.iter == 0 and not hasattr(watch, 'start')
