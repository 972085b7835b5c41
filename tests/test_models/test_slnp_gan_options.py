"""Options of SLNPGAN's training step that are off by default."""

import copy
import math

import pytest
import torch
from mmengine.logging import MessageHub

R1 = dict(type='SLNPR1Loss', loss_weight=2.0, interval=2)


@pytest.fixture
def make(tools):
    """Build the tiny model with changes."""

    def build(**options):
        return tools.build({**copy.deepcopy(tools.MODEL), **options})

    return build


def step(model, tools, iteration=0, **kwargs):
    """One training step; its log and all weights after it."""
    MessageHub.get_current_instance().update_info('iter', iteration)
    torch.manual_seed(3)
    log_vars = model.train_step(tools.make_data(), tools.make_wrappers(model, **kwargs))
    return log_vars, {k: v.clone() for k, v in model.state_dict().items()}


def test_r1_is_logged_and_taken_when_due(make, tools):
    model = make(r1_loss=R1)
    names = {'loss_r1_s0', 'loss_r1_s1'}
    seen = [names <= set(step(model, tools, i)[0]) for i in range(4)]
    assert seen == [True, False, True, False]


def test_r1_is_the_penalty_of_each_stages_real_images(make, tools):
    """Against the gradient of each stage alone, pixel by pixel."""
    model = make(r1_loss=R1).double()
    rng = torch.Generator().manual_seed(1)
    reals, fakes = (
        [torch.rand(2, 3, s, s, generator=rng, dtype=torch.float64) for s in (16, 32)]
        for _ in range(2)
    )
    labels = [torch.randint(0, 5, (2, s, s), generator=rng) for s in (16, 32)]
    loss, log_vars = model._disc_loss(reals, fakes, labels)
    gan, _ = make().double()._disc_loss(reals, fakes, labels)
    total = 0.0
    for k, stage in enumerate(model.discriminator.stages):
        image = reals[k].clone().requires_grad_()
        logits = stage(image, labels[k]).logits
        logits.sum().backward()
        squares = sum(g * g for g in image.grad.flatten().tolist())
        want = 2.0 * 2 / 2 * squares / logits[0].numel() / 2
        assert log_vars[f'loss_r1_s{k}'].item() == pytest.approx(want)
        total += want
    assert loss.item() == pytest.approx(gan.item() + total)
    assert not any(x.requires_grad for x in reals)


def test_r1_changes_the_discriminator_only_when_due(make, tools):
    """On the other iterations nothing differs, to the last bit."""
    plain = step(make(), tools, 1)
    for iteration, equal in ((1, True), (2, False)):
        log_vars, weights = step(make(r1_loss=R1), tools, iteration)
        same = [weights[k].equal(v) for k, v in plain[1].items()]
        assert all(same) == equal
        assert (set(log_vars) == set(plain[0])) == equal


@pytest.mark.parametrize('norm', ['instance', 'spectral', 'none'])
@pytest.mark.parametrize('autocast', [False, True])
def test_r1_trains_with_every_norm(norm, autocast, make, tools):
    cfg = {**tools.MODEL['discriminator'], 'norm': norm}
    model = make(r1_loss=R1, discriminator=cfg)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    log_vars, after = step(model, tools, autocast=autocast)
    assert all(math.isfinite(v.item()) for v in log_vars.values())
    assert log_vars['loss_r1_s1'].item() > 0
    name = next(k for k in before if 'stages.1.decide' in k and k[-4:] != 'bias')
    assert not after[name].equal(before[name])
    assert all(v.isfinite().all() for v in after.values())


def test_discriminator_sees_one_drawing_everywhere(make, tools):
    """Real and generated images and labels share the filled pixels."""
    policy = ('translation', 'cutout')
    model = make(augment=dict(type='SLNPDiffAugment', policy=policy))
    seen = []
    model.discriminator.register_forward_pre_hook(lambda _, args: seen.append(args))
    data = tools.make_data()
    for item in data['inputs']:
        item['label'] = item['label'] % 5  # none unlabelled
    MessageHub.get_current_instance().update_info('iter', 0)
    model.train_step(data, tools.make_wrappers(model))
    assert len(seen) == 4  # real and generated, for D and for G
    for images, labels in seen:
        for k, label in enumerate(labels):
            assert label.equal(seen[0][1][k])
            filled = (label == 255)[:, None].expand(-1, 3, -1, -1)
            assert filled.any() and not filled.all()
            assert (images[k][filled] == 0).all()
            assert (images[k][~filled] != 0).float().mean() > 0.9


@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('r1_loss', [None, R1])
def test_augmented_training_moves_both_networks(r1_loss, autocast, make, tools):
    model = make(augment=dict(type='SLNPDiffAugment'), r1_loss=r1_loss)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    log_vars, after = step(model, tools, autocast=autocast)
    assert all(math.isfinite(v.item()) for v in log_vars.values())
    for part in ('generator.global', 'generator.refiners', 'discriminator'):
        assert any(not v.equal(before[k]) for k, v in after.items() if k.startswith(part)), part


def test_empty_policy_changes_nothing_to_the_last_bit(make, tools):
    augment = dict(type='SLNPDiffAugment', policy=())
    plain, empty = (step(make(augment=option), tools) for option in (None, augment))
    assert plain[0] == empty[0]
    assert all(empty[1][k].equal(v) for k, v in plain[1].items())


def test_mode_seeking_pairs_images_of_one_label(make, tools):
    """Half of two images again: one pass of three, the first label twice."""
    model = make(mode_seeking_loss=dict(type='SLNPModeSeekingLoss', share=0.5, max_ratio=9.0))
    seen = []
    model.generator.register_forward_hook(lambda _, args, out: seen.append((*args, out.images)))
    log_vars, _ = step(model, tools)
    ((label, ids, classes, noise, images),) = seen
    for condition in (label, ids, classes):
        assert len(condition) == 3 and condition[2].equal(condition[0])
    asked = (noise[0] - noise[2]).abs().mean()
    assert asked > 0
    for k, image in enumerate(images):
        moved = (image[0] - image[2]).abs().mean()
        want = -10 * (moved / asked).item()
        assert log_vars[f'loss_ms_g_s{k}'].item() == pytest.approx(want)


def test_mode_seeking_makes_noise_count(make, tools):
    """With nothing else to learn, two noises soon give other pictures."""
    gaps = []
    for weight in (0.0, 1e4):
        loss = dict(type='SLNPModeSeekingLoss', loss_weight=weight, share=1.0)
        model = make(mode_seeking_loss=loss, feature_loss=None)
        for iteration in range(5):
            log_vars, _ = step(model, tools, iteration)
        with torch.no_grad():
            inputs = model.data_preprocessor(tools.make_data())['inputs']
            images = [
                model.generator(
                    inputs['label'],
                    inputs['instances'],
                    inputs['instance_labels'],
                    torch.full((2, 4, 2, 2), level),
                ).images[-1]
                for level in (-1.0, 1.0)
            ]
        gaps.append((images[0] - images[1]).abs().mean().item())
    assert gaps[1] > 2 * gaps[0]


def test_zero_weight_mode_seeking_logs_zero_and_two_losses(make, tools):
    loss = dict(type='SLNPModeSeekingLoss', loss_weight=0.0)
    log_vars, _ = step(make(mode_seeking_loss=loss), tools)
    assert {k: v.item() for k, v in log_vars.items() if '_ms_' in k} == {
        'loss_ms_g_s0': 0.0,
        'loss_ms_g_s1': 0.0,
    }
