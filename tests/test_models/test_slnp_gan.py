"""Training step and its options, sampling, checkpoints and the errors of SLNPGAN."""

import copy
import math
import warnings
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import load_checkpoint
from torch.nn import functional as F

from slnp_mm.engine.hooks.slnp_watch_hook import StepGuard
from slnp_mm.errors import SLNPError
from slnp_mm.models.step_log import step_log


@pytest.fixture
def make(tools):
    """Build the tiny model with changes."""

    def build(generator=None, **options):
        cfg = copy.deepcopy(tools.MODEL)
        cfg['generator'] = tools.generator_cfg(**(generator or {}))
        return tools.build({**cfg, **options})

    return build


@pytest.fixture
def coded(make, tools):
    """The tiny model with a prior that has seen data and a share of the batch coded."""

    def build(share=0.5, **options):
        model = make(noise='prior', code_share=share, **options)
        tools.train_statistics(model.noise_prior)
        return model.train()

    return build


@pytest.fixture
def inputs(tools):
    """What the generator is called with, and noise."""
    data = tools.build(tools.MODEL['data_preprocessor'])(tools.make_data())
    return {**data['inputs'], 'noise': torch.randn(2, 4, 2, 2)}


def snapshot(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def changed(module, before):
    return any(not v.equal(before[k]) for k, v in module.state_dict().items())


def assert_moved(model, before, *parts):
    """In every part a weight has changed."""
    moved = {key for key, value in model.state_dict().items() if not value.equal(before[key])}
    for part in parts:
        assert any(key.startswith(part) for key in moved), part


def set_iteration(iteration):
    MessageHub.get_current_instance().update_info('iter', iteration)


FROZEN = dict(type='SLNPPretrainedDiscriminator', num_classes=5, channels=8, embed_channels=8)
HINGE = dict(type='SLNPGANLoss', gan_type='hinge')


def term(loss, logits, kind):
    """Eq. (18) from D = sigmoid(logits), or the hinge loss."""
    if loss.gan_type == 'hinge':
        return dict(real=(1 - logits).clamp(0), fake=(1 + logits).clamp(0), g=-logits)[kind].mean()
    d = logits.sigmoid()
    g = (1 - d).log2() if loss.saturating else -d.log2()
    return dict(real=-d.log2(), fake=-(1 - d).log2(), g=g)[kind].mean()


def update(network, loss, lr=0.1):
    weights = list(network.parameters())
    for weight, grad in zip(weights, torch.autograd.grad(loss, weights)):
        weight.data -= lr * grad


def reference_step(model, data):
    """Eq. (18)-(20) in loops over stages, layers and images; all is computed anew each time."""
    inputs, stages = model.data_preprocessor(data)['inputs'], model.discriminator.stages
    maps = [inputs[key] for key in ('label', 'instances', 'instance_labels')]
    low, high = getattr(stages[0], 'upsample_range', (1, 1))
    factor = float(torch.empty(()).uniform_(low, high)) if low < high else 1
    for stage in stages:
        stage._factor = factor
    image, num_coded = inputs['img'], 1 if model.code_share else 2
    noise = model.noise_fn(num_batches=num_coded)
    if model.code_share:  # of the first of two images
        noise = torch.cat([model.noise_prior.encode(image[:1])[0], noise])

    def judge(k, real):
        side = 32 // 2 ** (len(stages) - 1 - k)
        x = F.adaptive_avg_pool2d(image, side) if real else model.generator(*maps, noise).images[k]
        [judged] = stages[k]([x], inputs['label'][:, :: 32 // side, :: 32 // side])
        return judged

    values = {}
    for k in range(len(stages)):
        for name in ('real', 'fake'):
            logits = judge(k, name == 'real').logits
            values[f'd_{name}_s{k}'] = logits.sigmoid().mean()
            values[f'loss_gan_d_{name}_s{k}'] = term(model.gan_loss, logits, name)
    update(model.discriminator, sum(v for key, v in values.items() if 'loss' in key))

    total = 0
    for k in range(len(stages)):
        fake, real, distance = judge(k, False), judge(k, True), 0
        for f, r in zip(fake.features, real.features):
            for i in range(num_coded):
                distance = distance + (f[i] - r[i].detach()).abs().mean() / num_coded
        values[f'loss_gan_g_s{k}'] = term(model.gan_loss, fake.logits, 'g')
        values[f'loss_fm_g_s{k}'] = model.matching_weight * distance
        total = total + values[f'loss_gan_g_s{k}'] + values[f'loss_fm_g_s{k}']
    update(model.generator, total)
    return values


@pytest.mark.parametrize(
    'options',
    [
        dict(matching_weight=2.5),
        dict(gan_loss=dict(type='SLNPGANLoss', saturating=False), matching_weight=0),
        dict(gan_loss=HINGE, generator=dict(stages=1)),
        dict(gan_loss=HINGE, noise='prior', code_share=0.5, discriminator=FROZEN),
        dict(noise='prior', discriminator={**FROZEN, 'upsample_factor': (1.2, 1.8)}),
    ],
)
def test_train_step_is_plain_loops_over_the_equations(options, make, tools):
    """The same values and, as SGD moves weights by them, the same gradients, in float64."""

    def double_images(module, args, data):
        data['inputs']['img'] = data['inputs']['img'].double()

    torch.set_default_dtype(torch.float64)
    try:
        model = make(**options)
        if model.noise_prior is not None:
            tools.train_statistics(model.noise_prior)
        model.data_preprocessor.register_forward_hook(double_images)
        start, other = snapshot(model), copy.deepcopy(model.train())
        torch.manual_seed(9)
        found = model.train_step(tools.make_data(), tools.make_wrappers(model, lr=0.1))
        torch.manual_seed(9)
        want = reference_step(other, tools.make_data())
    finally:
        torch.set_default_dtype(torch.float32)
    assert set(found) == {*want, 'd_accuracy', 'fake_std', 'saturated'}
    for key, value in want.items():
        assert found[key].item() == pytest.approx(value.item(), rel=1e-9), key
    for key, value in other.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value, rtol=1e-7, atol=1e-11, msg=key)
    assert_moved(model, start, 'generator.global', 'discriminator')
    assert all(p.requires_grad for p in model.discriminator.parameters())


def test_frozen_network_sees_each_image_once_a_step(coded, tools):
    """Twice a stage: the real and the generated images, for both updates."""
    model, passes = coded(discriminator=tools.PRETRAINED), []
    for stage in model.discriminator.stages:
        stage._frozen[0].register_forward_hook(lambda *_: passes.append(1))
    model.train_step(tools.make_data(), tools.make_wrappers(model))
    assert len(passes) == 4
    assert not any('frozen' in key for key in model.state_dict())


@pytest.mark.parametrize(
    'options',
    [
        dict(generator=dict(stages=1)),
        dict(generator=dict(stages=3)),
        dict(generator=dict(attention=False, modulated=True)),
        dict(generator=dict(instance_pathway=False)),
    ],
)
def test_each_switch_trains_and_samples(options, make, tools):
    model = make(**options)
    before = snapshot(model.generator)
    model.train_step(tools.make_data(), tools.make_wrappers(model))
    assert changed(model.generator, before)
    samples = model.eval().val_step(tools.make_data())
    assert len(samples[0].stage_imgs) == model.generator.num_stages


def test_accumulated_gradients_are_refused(make, tools):
    """The first half batch would train G against a D that the batch has not updated yet."""
    model = make()
    before = snapshot(model)
    with pytest.raises(SLNPError, match='accumulative_counts must be 1'):
        model.train_step(tools.make_data(), tools.make_wrappers(model, accumulate=2))
    assert not changed(model, before)


def test_bad_noise_updates_neither_network(make, tools):
    model = make()
    wrappers = tools.make_wrappers(model)
    guards = [StepGuard(wrapper) for wrapper in wrappers.values()]
    before = snapshot(model)
    noises = iter([torch.full((2, 4, 2, 2), math.nan), torch.zeros(2, 4, 2, 2)])
    model.noise_fn = lambda *_, **__: next(noises)
    model.train_step(tools.make_data(), wrappers)
    assert [guard.skipped for guard in guards] == [True, True] and not changed(model, before)
    model.train_step(tools.make_data(), wrappers)
    assert [guard.skipped for guard in guards] == [False, False]
    assert changed(model, before)


def test_bfloat16_autocast_trains_with_float32_weights(make, tools):
    model, plain = make(), make()
    before = snapshot(model.generator)
    log_vars = model.train_step(tools.make_data(), tools.make_wrappers(model, autocast=True))
    assert changed(model.generator, before)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    torch.manual_seed(0)
    exact = make().train_step(tools.make_data(), tools.make_wrappers(plain))
    assert log_vars.keys() == exact.keys()
    for name, value in log_vars.items():
        assert math.isfinite(value.item()), name
    found, want = (x['loss_gan_d_real_s1'].item() for x in (log_vars, exact))
    assert found == pytest.approx(want, rel=0.05)


def test_average_of_the_generator_by_hand(make, tools):
    model = make(ema_config=dict(type='ExponentialMovingAverage', momentum=0.25, interval=1))
    wrappers = tools.make_wrappers(model, lr=0.1)
    start = snapshot(model.generator)
    model.train_step(tools.make_data(), wrappers)
    first = snapshot(model.generator)
    model.train_step(tools.make_data(), wrappers)
    second = snapshot(model.generator)
    assert changed(model.generator, start) and changed(model.generator, first)
    for name, value in model.generator_ema.module.state_dict().items():
        torch.testing.assert_close(value, 0.75 * first[name] + 0.25 * second[name])


def test_before_its_start_the_average_is_a_copy(make, tools):
    ema = dict(type='ExponentialMovingAverage', momentum=0.25, interval=1, start_iter=2)
    model = make(ema_config=ema)
    wrappers = tools.make_wrappers(model, lr=0.1)
    equal = []
    for iteration in range(3):
        set_iteration(iteration)
        model.train_step(tools.make_data(), wrappers)
        equal.append(not changed(model.generator_ema.module, snapshot(model.generator)))
    assert equal == [True, True, False]


def test_samples_come_from_the_average_unless_asked(make, inputs, tools):
    model = make(ema_config=dict(type='ExponentialMovingAverage', momentum=0.01, interval=1))
    wrappers = tools.make_wrappers(model, lr=0.1)
    for _ in range(2):
        model.train_step(tools.make_data(), wrappers)
    model.eval()
    images = {
        name: model({**inputs, 'sample_model': name})[0].fake_img for name in (None, 'ema', 'orig')
    }
    assert images[None].equal(images['ema'])
    assert not images['ema'].equal(images['orig'])


def test_samples_hold_what_the_metrics_read(make, tools):
    model = make().eval()
    data = tools.make_data()
    want = data['inputs'][1]['img'].float()
    label = data['inputs'][1]['label'][0]
    sample = model.val_step(data)[1]
    assert sample.fake_img.shape == (3, 32, 32)
    assert sample.fake_img.dtype == torch.float32
    assert 0 <= sample.fake_img.min() and sample.fake_img.max() <= 255
    assert [tuple(s.shape) for s in sample.stage_imgs] == [(3, 16, 16), (3, 32, 32)]
    assert sample.stage_imgs[-1].equal(sample.fake_img)
    torch.testing.assert_close(sample.gt_img, want, atol=1e-4, rtol=0)
    assert sample.gt_sem_seg.equal(label) and label.eq(255).any()
    assert sample.metainfo['sample_idx'] == 1
    assert sample.metainfo['label_path'] == '1.png'


def test_samples_are_bgr_of_the_generators_rgb(make, inputs):
    model = make().eval()
    given = (inputs[key] for key in ('label', 'instances', 'instance_labels', 'noise'))
    rgb = model.generator(*given).images[-1]
    torch.testing.assert_close(model(inputs)[0].fake_img.flip(0), (rgb[0] + 1) * 127.5)


def test_attention_comes_as_rows_and_columns(make, inputs, tools):
    model = make().eval()
    assert 'attention' not in model(inputs)[0]
    inputs['sample_kwargs'] = dict(return_attention=True)
    attention = model(inputs)[0].attention
    assert [tuple(a.shape) for a in attention] == [(4, 4, tools.SLOTS)]
    torch.testing.assert_close(attention[0].sum(-1), torch.ones(4, 4))


def test_given_noise_repeats_and_drawn_noise_varies(make, inputs):
    model = make().eval()
    given = [model(inputs)[0].fake_img for _ in range(2)]
    del inputs['noise']
    drawn = [model(inputs)[0].fake_img for _ in range(2)]
    assert not drawn[0].equal(drawn[1])
    assert given[0].equal(given[1])


def test_prior_is_frozen_and_in_evaluation_mode(coded, tools):
    model = coded(share=0)
    assert model.generator.training
    assert not any(m.training for m in model.noise_prior.modules())
    assert not any(p.requires_grad for p in model.noise_prior.parameters())
    before = snapshot(model.noise_prior)
    model.train_step(tools.make_data(), tools.make_wrappers(model))
    assert not changed(model.noise_prior, before)


def test_noise_goes_through_the_prior(coded, make):
    model = coded(share=0)
    z, prior = torch.randn(2, 4, 2, 2), model.noise_prior
    shaped = model.noise_fn(z)
    assert shaped.equal(prior.encode(prior.decode(z))[0])
    assert not shaped.requires_grad and shaped.shape == z.shape
    assert not shaped.equal(z)
    assert make(noise='random').noise_fn(z).equal(z)


def test_untrained_prior_is_refused_until_a_checkpoint_brings_one(coded, make, inputs):
    trained, other = coded(share=0), make(noise='prior').eval()
    text = 'expected a trained noise prior, but its weights were never loaded: load a checkpoint'
    for call in (lambda: other(inputs), lambda: other.style_code(inputs['img'])):
        with pytest.raises(SLNPError, match=text):
            call()
    other.load_state_dict(make(noise='random').state_dict(), strict=False)
    with pytest.raises(SLNPError, match=text):
        other(inputs)
    other.load_state_dict(trained.state_dict())
    assert trained.eval()(inputs)[0].fake_img.equal(other(inputs)[0].fake_img)


def test_fig4_prior_fits_through_its_latent_shape(make, tools):
    prior = {**tools.PRIOR, 'arrangement': 'fig4', 'num_scales': 1}
    model = make(generator=dict(noise_shape=(4, 16, 16)), noise='prior', noise_prior=prior)
    tools.train_statistics(model.noise_prior)
    model.train()
    before = snapshot(model.generator)
    model.train_step(tools.make_data(), tools.make_wrappers(model))
    assert changed(model.generator, before)


def test_checkpoint_of_another_class_count_is_refused(make, tools, tmp_path):
    path = tmp_path / 'other.pth'
    cfg = copy.deepcopy(tools.MODEL)
    cfg['generator']['num_classes'] = 11
    torch.save(dict(state_dict=tools.build(cfg).state_dict()), path)
    with pytest.raises(
        ValueError, match='Expected a checkpoint of 5 classes as in this config, but it holds 11'
    ):
        load_checkpoint(make(), str(path), map_location='cpu')


def test_label_out_of_range_stops_the_training_step(make, tools):
    model, data = make(), tools.make_data()
    data['inputs'][0]['label'][0, 0, 0] = 5
    with pytest.raises(
        ValueError,
        match=r'0\.\.4 or 255 \(unlabelled\), but '
        r'0\.png holds \[5\]',
    ):
        model.train_step(data, tools.make_wrappers(model))


def test_third_stage_starts_from_a_two_stage_checkpoint(make, coded, tools, tmp_path):
    """Lower stages load as they are; the new one trains at once."""
    ema = dict(type='ExponentialMovingAverage', momentum=0.5, interval=1)
    trained = coded(share=0, ema_config=ema)
    trained.train_step(tools.make_data(), tools.make_wrappers(trained))
    path = tmp_path / 'two_stages.pth'
    torch.save(dict(state_dict=trained.state_dict()), path)

    model = make(generator=dict(stages=3), noise='prior', ema_config=ema)
    model.init_weights()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        load_checkpoint(model, str(path), map_location='cpu', strict=False)
    own, stored = model.state_dict(), trained.state_dict()
    assert all(own[name].equal(value) for name, value in stored.items())
    new = [name for name in own if name not in stored]
    assert new and all('refiners.1.' in n or 'stages.2.' in n for n in new)
    for name, value in model.generator.named_parameters():
        if 'refiners.1.' in name:  # the average starts from the same
            average = model.generator_ema.module.get_parameter(name)
            assert average.equal(value)
    before = snapshot(model.train())
    model.train_step(tools.make_data(size=64), tools.make_wrappers(model))
    assert_moved(
        model,
        before,
        'generator.refiners.0',
        'generator.refiners.1',
        'generator_ema.module.refiners.1',
        'discriminator.stages.2',
    )


@pytest.mark.parametrize(
    'options, text',
    [
        (dict(noise='white'), r"noise must be one of \('prior', 'random'\), but got 'white'"),
        (
            dict(generator=dict(noise_shape=(4, 4, 4)), noise='prior'),
            r'shape \(4, 4, 4\) of the generator.s noise_shape, but got \(4, 2, 2\)',
        ),
        (dict(matching_weight=-1), 'matching_weight must be >= 0, but got -1'),
        (
            dict(discriminator=[dict(type='SLNPDiscriminator', num_classes=5)]),
            'one discriminator for each of the 2 stages of the generator, but got 1',
        ),
    ],
)
def test_bad_settings_are_refused(options, text, make):
    with pytest.raises(ValueError, match=text):
        make(**options)


@pytest.mark.parametrize(
    'key, text',
    [
        ('feature_loss', 'give its loss_weight as matching_weight'),
        ('prior_command', 'the command follows from prior_checkpoint'),
        ('discriminator_steps', 'both networks are updated in each iteration'),
        ('r1_loss', 'leave it out'),
    ],
)
def test_former_and_unknown_arguments_are_refused(key, text, make):
    with pytest.raises(SLNPError, match=f'the model takes no {key}: .*{text}'):
        make(**{key: None})


def test_figures_of_a_step_by_hand():
    logits = torch.tensor([2.0, -1.0, 3.0, 1.0]).view(1, 1, 2, 2)
    real, fake = [SimpleNamespace(logits=logits)], [SimpleNamespace(logits=logits - 10)]
    images = torch.tensor([0.0, 1.0, -1.0, 0.5]).view(1, 1, 2, 2).expand(2, 3, 2, 2)
    values = step_log(dict(a=[torch.tensor(3.0)]), real, fake, images)
    assert values['loss_a_s0'] == 3 and values['saturated'] == 0.5
    assert values['d_accuracy'] == (3 / 4 + 1) / 2
    mean = sum(1 / (1 + math.exp(-x)) for x in (2, -1, 3, 1)) / 4
    assert values['d_real_s0'].item() == pytest.approx(mean)
    # mean 0.125, squares of the distances 0.0156, 0.7656, 1.2656 and 0.1406, over n - 1
    assert values['fake_std'].item() == pytest.approx((2.1875 / 3) ** 0.5)


def test_discriminators_may_differ_by_stage(make):
    cfg = dict(type='SLNPDiscriminator', num_classes=5, base_channels=8, num_layers=2)
    model = make(discriminator=[cfg, {**cfg, 'num_layers': 3}])
    assert [len(d.layers) for d in model.discriminator.stages] == [2, 3]


def test_sampling_needs_no_discriminator(make, tools):
    model = make(discriminator=None).eval()
    assert model.discriminator is None
    assert len(model.val_step(tools.make_data())) == 2


def test_number_of_classes_is_stated_once(make, tools):
    """The model's number reaches preprocessor, generator and every discriminator."""
    cfg = copy.deepcopy(tools.MODEL)
    for part in ('data_preprocessor', 'generator', 'discriminator'):
        del cfg[part]['num_classes']
    model = tools.build({**cfg, 'num_classes': 7})
    parts = [model.data_preprocessor, model.generator, *model.discriminator.stages]
    assert [part.num_classes for part in parts] == [7] * 4


def test_another_number_of_classes_in_a_network_is_refused(tools):
    cfg = copy.deepcopy(tools.MODEL)
    del cfg['discriminator']['num_classes']
    text = 'Expected 7 classes .* SLNPGenerator has 5; state it once'
    with pytest.raises(ValueError, match=text):
        tools.build({**cfg, 'num_classes': 7})


@pytest.mark.parametrize('share, num_coded', [(0.01, 1), (0.5, 1), (1.0, 2)])
def test_first_images_have_the_codes_of_their_images(share, num_coded, coded, tools, inputs):
    model, seen = coded(share), []
    model.generator.register_forward_hook(lambda _, args, out: seen.append(args[3]))
    model.train_step(tools.make_data(), tools.make_wrappers(model))
    codes = model.noise_prior.encode(inputs['img'])[0]
    assert seen[0].shape == codes.shape
    for i in range(2):
        assert seen[0][i].allclose(codes[i]) == (i < num_coded)


@pytest.mark.parametrize('share, noise', [(-0.1, 'prior'), (1.5, 'prior'), (0.5, 'random')])
def test_codes_that_cannot_be_had_are_refused(share, noise, make):
    with pytest.raises(ValueError, match='code_share must be from 0 to 1, and 0 with random'):
        make(noise=noise, code_share=share)


def test_style_is_the_code_of_a_image(coded, inputs):
    model, seen = coded().eval(), []
    model.generator.register_forward_hook(lambda _, args, out: seen.append(args[3]))
    model(dict(inputs, style=inputs['img'].flip(0)))
    assert seen[0].equal(model.noise_prior.encode(inputs['img'])[0].flip(0))
