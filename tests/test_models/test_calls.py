"""How many operators an image and a step call: what a GPU waits for.

Counted on the CPU, for the depth of ``configs/slnp_coco_plus.py`` under mixed precision. Widths do
not matter: they are narrow here.
"""

from collections import Counter
from pathlib import Path

import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).parents[2]


class Calls(TorchDispatchMode):
    """Count the calls by operator; ``detach``, which starts nothing, is left out."""

    def __init__(self):
        super().__init__()
        self.ops = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.ops[func._schema.name] += func is not torch.ops.aten.detach.default
        return func(*args, **(kwargs or {}))

    def assert_at_most(self, limit):
        assert self.ops.total() <= limit, f'{self.ops.total()} calls: {self.ops.most_common(20)}'


@pytest.fixture(scope='module', autouse=True)
def bfloat16():
    """As on a CPU that has it: the casts are counted too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('torch.cpu._is_avx512_bf16_supported', lambda: True)
        yield


@pytest.fixture(scope='module')
def trained():
    """Model after a step, its optimizers, and a batch of two images of 128 px."""
    cfg = Config.fromfile(ROOT / 'configs/slnp_coco_plus.py')
    cfg.model.generator.global_generator.update(base_channels=8, max_channels=32)
    cfg.model.generator.refiners[0].update(base_channels=8, attention_channels=8)
    cfg.model.discriminator.update(channels=8, embed_channels=8)
    for name in ('generator', 'discriminator'):
        cfg.optim_wrapper[name].type = 'SLNPBF16OptimWrapper'
    with DefaultScope.overwrite_default_scope('mmagic'):
        model = MODELS.build(cfg.model)
        wrappers = build_optim_wrapper(model, cfg.optim_wrapper)
    model.noise_prior.train()
    model.noise_prior.loss(torch.rand(4, 3, 64, 64))
    model.noise_prior.eval()
    cells = torch.arange(64).view(1, 8, 8).repeat_interleave(16, 1).repeat_interleave(16, 2)
    item = dict(
        img=torch.randint(0, 256, (3, 128, 128), dtype=torch.uint8),
        label=cells,
        instances=cells,
        instance_labels=torch.arange(64),
    )
    batch = dict(inputs=[item] * 2, data_samples=None)
    model.train().train_step(batch, wrappers)  # optimizers make their state once
    return model, wrappers, batch


def test_calls_of_an_image(trained):
    model, wrappers, batch = trained
    inputs = model.data_preprocessor(batch)['inputs']
    maps = [inputs[key] for key in ('label', 'instances', 'instance_labels')]
    noise = model.noise_fn(num_batches=2)
    with torch.no_grad(), wrappers['generator'].optim_context(model.generator), Calls() as calls:
        model.generator(*maps, noise)
    calls.assert_at_most(600)
    assert calls.ops['aten::embedding'] == 13  # one a resolution, not two a norm
    assert not calls.ops['aten::_local_scalar_dense']


def test_calls_of_a_step(trained):
    model, wrappers, batch = trained
    with Calls() as calls:
        model.train_step(batch, wrappers)
    calls.assert_at_most(3000)
    assert calls.ops['aten::_local_scalar_dense'] <= 4
