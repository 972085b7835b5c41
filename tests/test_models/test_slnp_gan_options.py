"""Options of SLNPGAN's training step that are off by default."""

import copy
import math

import pytest
import torch
from mmengine.logging import MessageHub

from slnp_mm.models.slnp_gan import JudgedImages


@pytest.fixture
def make(tools):
    """Build the tiny model with changes."""

    def build(**options):
        return tools.build({**copy.deepcopy(tools.MODEL), **options})

    return build


def step(model, tools):
    """One training step; its log and all weights after it."""
    MessageHub.get_current_instance().update_info('iter', 0)
    torch.manual_seed(3)
    log_vars = model.train_step(tools.make_data(), tools.make_wrappers(model))
    return log_vars, {k: v.clone() for k, v in model.state_dict().items()}


@pytest.fixture
def coded(make, tools):
    """The tiny model with a prior that has seen data, and half of the batch coded."""

    def build(share=0.5, **options):
        model = make(noise='prior', code_share=share, **options)
        for _ in range(2):
            model.noise_prior.train().loss(torch.rand(4, 3, 8, 8) * 2 - 1)
        return model.train()

    return build


@pytest.mark.parametrize('share, num_coded', [(0.01, 1), (0.5, 1), (1.0, 2)])
def test_first_images_have_the_codes_of_their_photographs(share, num_coded, coded, tools):
    model, seen = coded(share), []
    model.generator.register_forward_hook(lambda _, args, out: seen.append(args[3]))
    step(model, tools)
    image = model.data_preprocessor(tools.make_data(), True)['inputs']['img']
    codes = model.noise_prior.encode(image)[0]
    assert seen[0].shape == codes.shape
    for i in range(2):
        assert seen[0][i].allclose(codes[i]) == (i < num_coded)


def test_only_coded_images_are_compared_with_their_photographs(coded, tools):
    """Eq. (19) over the first image alone, against the loss of its own features."""
    model = coded(0.5)
    rng = torch.Generator().manual_seed(1)
    labels = [torch.randint(0, 5, (2, s, s), generator=rng) for s in (16, 32)]
    real, fake = (
        JudgedImages([torch.rand(2, 3, s, s, generator=rng) for s in (16, 32)], labels, [None] * 2)
        for _ in range(2)
    )
    _, log_vars = model._gen_loss(real, fake, 1)
    for k, stage in enumerate(model.discriminator.stages):
        want = 0.0
        first = [stage(x.images[k][:1], labels[k][:1]).features for x in (fake, real)]
        for f, r in zip(*first):
            want += 10 * (f - r).abs().mean().item()
        assert log_vars[f'loss_fm_g_s{k}'].item() == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize('share, noise', [(-0.1, 'prior'), (1.5, 'prior'), (0.5, 'random')])
def test_codes_that_cannot_be_had_are_refused(share, noise, make):
    with pytest.raises(ValueError, match='code_share must be from 0 to 1, and 0 with random'):
        make(noise=noise, code_share=share)


def test_style_is_the_code_of_a_photograph(coded, tools):
    model = coded().eval()
    inputs = model.data_preprocessor(tools.make_data())['inputs']
    seen = []
    model.generator.register_forward_hook(lambda _, args, out: seen.append(args[3]))
    model(dict(inputs, style=inputs['img'].flip(0)))
    assert seen[0].equal(model.noise_prior.encode(inputs['img'])[0].flip(0))


def test_pretrained_discriminator_looks_once_an_update(coded, tools):
    """Twice a step and stage in all: photographs and generated images, for both networks."""
    cfg = dict(type='SLNPPretrainedDiscriminator', num_classes=5, channels=8)
    model = coded(discriminator=cfg)
    passes = []
    for stage in model.discriminator.stages:
        stage._frozen[0].register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    log_vars, after = step(model, tools)
    assert passes == [False, False, True, True]
    assert all(math.isfinite(v.item()) for v in log_vars.values())
    for part in ('generator.global', 'generator.refiners', 'discriminator'):
        assert any(not v.equal(before[k]) for k, v in after.items() if k.startswith(part)), part
    assert not any('frozen' in key for key in after)
