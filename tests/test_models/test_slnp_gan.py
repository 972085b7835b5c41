"""Training step, sampling, checkpoints and the errors of SLNPGAN."""

import copy
import math
import warnings

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import load_checkpoint

from slnp_mm.engine.hooks.slnp_watch_hook import StepGuard
from slnp_mm.errors import SLNPError
from slnp_mm.models import NoisePriorVAE
from slnp_mm.models.slnp_gan import JudgedImages, _signs

PRETRAINED = dict(type='SLNPPretrainedDiscriminator', num_classes=5, channels=8, embed_channels=8)


@pytest.fixture
def make(tools):
    """Build the tiny model with changes."""

    def build(generator=None, **options):
        cfg = copy.deepcopy(tools.MODEL)
        cfg['generator'] = tools.generator_cfg(**(generator or {}))
        return tools.build({**cfg, **options})

    return build


@pytest.fixture
def prior_file(tools, tmp_path):
    """Checkpoint of a prior whose batch norms have seen data."""
    prior = tools.build(tools.PRIOR, seed=5)
    for _ in range(3):
        prior.loss(torch.rand(4, 3, 8, 8) * 2 - 1)
    path = tmp_path / 'prior' / 'iter_3.pth'
    path.parent.mkdir()
    torch.save(dict(state_dict=prior.state_dict()), path)
    return path


def snapshot(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def changed(module, before):
    return any(not v.equal(before[k]) for k, v in module.state_dict().items())


def set_iteration(iteration):
    MessageHub.get_current_instance().update_info('iter', iteration)


def start(model):
    """What a runner does before the first batch."""
    model.init_weights()
    return model.train()


def stage_tensors(double=True):
    """Real and generated images with labels, two stages."""
    kind = torch.float64 if double else torch.float32
    rng = torch.Generator().manual_seed(1)
    sizes = (16, 32)
    reals, fakes = (
        [torch.rand(2, 3, s, s, generator=rng, dtype=kind) * 2 - 1 for s in sizes] for _ in range(2)
    )
    labels = [torch.randint(0, 5, (2, s, s), generator=rng) for s in sizes]
    return [JudgedImages(x, labels, [None, None]) for x in (reals, fakes)]


def bits(logits, real):
    """Mean of -lb D (real) or -lb(1 - D), value by value."""
    total = 0.0
    for x in logits.flatten().tolist():
        d = 1 / (1 + math.exp(-x))
        total -= math.log2(d if real else 1 - d)
    return total / logits.numel()


def test_discriminators_loss_sums_both_terms_and_stages(make):
    model = make().double()
    real, fake = stage_tensors()
    loss, log_vars = model._disc_loss(real, fake)
    want = 0.0
    for k, stage in enumerate(model.discriminator.stages):
        for name, judged in (('real', real), ('fake', fake)):
            logits = stage(judged.images[k], judged.labels[k]).logits
            value = bits(logits, name == 'real')
            assert log_vars[f'loss_gan_d_{name}_s{k}'].item() == pytest.approx(value)
            assert log_vars[f'd_{name}_s{k}'].item() == pytest.approx(
                logits.sigmoid().mean().item()
            )
            want += value
    assert loss.item() == pytest.approx(want)


@pytest.mark.parametrize('weight', [0.0, 2.5, 10.0])
def test_total_is_gan_loss_plus_lambda_times_matching(weight, make):
    """Eq. (20), the generator's part, with D = 1 - (1 - D) by loops."""
    model = make(feature_loss=dict(type='SLNPFeatureMatchingLoss', loss_weight=weight)).double()
    reals, fakes = stage_tensors()
    gan, matching = 0.0, 0.0
    for k, stage in enumerate(model.discriminator.stages):
        fake = stage(fakes.images[k], fakes.labels[k])
        real = stage(reals.images[k], reals.labels[k])
        gan -= bits(fake.logits, False)  # lb(1 - D), saturating
        for f, r in zip(fake.features, real.features):
            matching += (
                sum(abs(a - b) for a, b in zip(f.flatten().tolist(), r.flatten().tolist()))
                / f.numel()
            )
    loss, log_vars = model._gen_loss(reals, fakes, 2)
    assert loss.item() == pytest.approx(gan + weight * matching)
    assert sum(log_vars[f'loss_fm_g_s{k}'].item() for k in range(2)) == pytest.approx(
        weight * matching
    )


def test_without_feature_loss_only_the_gan_term_is_left(make):
    model = make(feature_loss=None)
    _, log_vars = model._gen_loss(*stage_tensors(double=False), 2)
    assert {k for k in log_vars if 'loss' in k} == {'loss_gan_g_s0', 'loss_gan_g_s1', 'loss'}


def test_losses_reach_their_own_networks_only(make):
    model = make()
    reals, fakes = stage_tensors(double=False)
    leaves = [x.requires_grad_() for x in fakes.images]
    model._disc_loss(reals, fakes.detach())[0].backward()
    assert all(x.grad is None for x in leaves)
    assert all(p.grad is not None for p in model.discriminator.parameters())
    model._gen_loss(reals, fakes, 2)[0].backward()
    assert all(x.grad.abs().sum() > 0 for x in leaves)


def test_train_step_updates_both_networks_and_logs(make, tools):
    model = make()
    before = snapshot(model.generator), snapshot(model.discriminator)
    log_vars = model.train_step(tools.make_data(), tools.make_wrappers(model))
    assert changed(model.generator, before[0])
    assert changed(model.discriminator, before[1])
    names = {
        f'{name}_s{k}'
        for k in range(2)
        for name in (
            'loss_gan_d_real',
            'loss_gan_d_fake',
            'd_real',
            'd_fake',
            'loss_gan_g',
            'loss_fm_g',
        )
    }
    assert set(log_vars) == names | {'d_accuracy', 'fake_std', 'saturated'}
    assert all(math.isfinite(v.item()) for v in log_vars.values())
    assert all(p.requires_grad for p in model.discriminator.parameters())


def test_train_step_derives_lower_stages(make, tools):
    """Images by area, labels by every second pixel."""
    model, seen = make(), []
    model.discriminator.register_forward_pre_hook(lambda _, args: seen.append(args))
    data = tools.make_data()
    model.train_step(data, tools.make_wrappers(model))
    images, labels, _ = seen[0]
    full = torch.stack([d['img'] for d in data['inputs']]).float().flip(1)
    torch.testing.assert_close(images[1], full / 127.5 - 1)
    want = images[1].unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5))
    torch.testing.assert_close(images[0], want)
    label = torch.cat([d['label'] for d in data['inputs']])
    assert labels[1].equal(label) and labels[0].equal(label[:, ::2, ::2])


@pytest.mark.parametrize(
    'options',
    [
        dict(generator=dict(stages=1)),
        dict(generator=dict(stages=3)),
        dict(generator=dict(attention=False, modulated=True)),
        dict(generator=dict(instance_pathway=False)),
        dict(gan_loss=dict(type='SLNPGANLoss', gan_type='hinge')),
        dict(gan_loss=dict(type='SLNPGANLoss', saturating=False)),
    ],
)
def test_each_switch_trains_and_samples(options, make, tools):
    model = make(**options)
    before = snapshot(model.generator)
    model.train_step(tools.make_data(), tools.make_wrappers(model))
    assert changed(model.generator, before)
    samples = model.eval().val_step(tools.make_data())
    assert len(samples[0].stage_imgs) == model.generator.num_stages


def test_generator_moves_every_second_iteration(make, tools):
    model = make(discriminator_steps=2)
    wrappers = tools.make_wrappers(model)
    moved = []
    for iteration in range(4):
        set_iteration(iteration)
        before = snapshot(model.generator), snapshot(model.discriminator)
        log_vars = model.train_step(tools.make_data(), wrappers)
        assert changed(model.discriminator, before[1])
        moved.append(changed(model.generator, before[0]))
        assert ('loss_gan_g_s0' in log_vars) == moved[-1]
    assert moved == [False, True, False, True]


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


def test_figures_that_tell_a_collapse(make, tools):
    model = make()
    log_vars = model.train_step(tools.make_data(), tools.make_wrappers(model))
    images = torch.tensor([0.0, 1.0, -1.0, 0.5]).view(1, 1, 2, 2).expand(2, 3, 2, 2)
    signs = _signs(images)
    assert signs['saturated'] == 0.5
    # mean 0.125, squares of the distances 0.0156, 0.7656, 1.2656 and 0.1406, over n - 1
    assert signs['fake_std'].item() == pytest.approx((2.1875 / 3) ** 0.5)
    assert 0 < log_vars['fake_std'] < 1 and log_vars['saturated'] < 1
    assert 0 <= log_vars['d_accuracy'] <= 1


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
    assert log_vars['loss_gan_d_real_s1'].item() == pytest.approx(
        exact['loss_gan_d_real_s1'].item(), rel=0.05
    )


def test_compile_is_of_the_networks_alone(make, tools, monkeypatch):
    """With a compiler that only counts the calls: torch's takes a minute."""
    calls = []

    def count(call, **options):
        assert options == dict(mode='default', dynamic=False)
        name = type(call.__self__).__name__
        return lambda *args, **kwargs: calls.append(name) or call(*args, **kwargs)

    monkeypatch.setattr('torch.compile', count)
    model = make(discriminator=PRETRAINED)
    names = set(model.state_dict())
    model.compile(mode='default')
    model.train_step(tools.make_data(), tools.make_wrappers(model))
    # of both stages: photographs and pictures, for D and pictures again for G
    assert {name: calls.count(name) for name in calls} == dict(
        SLNPGenerator=1, PretrainedFeatures=4, SLNPPretrainedDiscriminator=6
    )
    assert set(model.state_dict()) == names


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
    model = make(
        ema_config=dict(type='ExponentialMovingAverage', momentum=0.25, interval=1, start_iter=2)
    )
    wrappers = tools.make_wrappers(model, lr=0.1)
    equal = []
    for iteration in range(3):
        set_iteration(iteration)
        model.train_step(tools.make_data(), wrappers)
        equal.append(not changed(model.generator_ema.module, snapshot(model.generator)))
    assert equal == [True, True, False]


def test_samples_come_from_the_average_unless_asked(make, tools):
    model = make(ema_config=dict(type='ExponentialMovingAverage', momentum=0.01, interval=1))
    wrappers = tools.make_wrappers(model, lr=0.1)
    for _ in range(2):
        model.train_step(tools.make_data(), wrappers)
    inputs = model.eval().data_preprocessor(tools.make_data())['inputs']
    inputs['noise'] = torch.randn(2, 4, 2, 2)
    images = {}
    with torch.no_grad():
        for name in (None, 'ema', 'orig'):
            chosen = {**inputs, 'sample_model': name}
            images[name] = model(chosen)[0].fake_img
    assert images[None].equal(images['ema'])
    assert not images['ema'].equal(images['orig'])


def test_samples_hold_what_the_metrics_read(make, tools):
    model = make().eval()
    data = tools.make_data()
    want = data['inputs'][1]['img'].float()
    label = data['inputs'][1]['label'][0]
    with torch.no_grad():
        sample = model.val_step(data)[1]
    assert sample.fake_img.shape == (3, 32, 32)
    assert sample.fake_img.dtype == torch.float32
    assert 0 <= sample.fake_img.min() and sample.fake_img.max() <= 255
    assert [tuple(s.shape) for s in sample.stage_imgs] == [(3, 16, 16), (3, 32, 32)]
    assert sample.stage_imgs[-1].equal(sample.fake_img)
    torch.testing.assert_close(sample.gt_img, want, atol=1e-4, rtol=0)
    assert sample.gt_sem_seg.equal(label)
    assert sample.metainfo['sample_idx'] == 1
    assert sample.metainfo['label_path'] == '1.png'


def test_samples_are_bgr_of_the_generators_rgb(make, tools):
    model = make().eval()
    inputs = model.data_preprocessor(tools.make_data())['inputs']
    noise = inputs['noise'] = torch.randn(2, 4, 2, 2)
    with torch.no_grad():
        rgb = model.generator(
            inputs['label'], inputs['instances'], inputs['instance_labels'], noise
        ).images[-1]
        sample = model(inputs)[0]
    torch.testing.assert_close(sample.fake_img.flip(0), (rgb[0] + 1) * 127.5)


def test_attention_comes_as_rows_and_columns(make, tools):
    model = make().eval()
    inputs = model.data_preprocessor(tools.make_data())['inputs']
    assert 'attention' not in model(inputs)[0]
    inputs['sample_kwargs'] = dict(return_attention=True)
    attention = model(inputs)[0].attention
    assert [tuple(a.shape) for a in attention] == [(4, 4, tools.SLOTS)]
    torch.testing.assert_close(attention[0].sum(-1), torch.ones(4, 4))


def test_given_noise_repeats_and_drawn_noise_varies(make, tools):
    model = make().eval()
    inputs = model.data_preprocessor(tools.make_data())['inputs']
    with torch.no_grad():
        drawn = [model(inputs)[0].fake_img for _ in range(2)]
        inputs['noise'] = torch.randn(2, 4, 2, 2)
        given = [model(inputs)[0].fake_img for _ in range(2)]
    assert not drawn[0].equal(drawn[1])
    assert given[0].equal(given[1])


def test_prior_is_frozen_and_in_evaluation_mode(make, tools, prior_file):
    model = make(noise='prior', prior_checkpoint=str(prior_file))
    start(model)
    assert model.generator.training
    assert not any(m.training for m in model.noise_prior.modules())
    assert not any(p.requires_grad for p in model.noise_prior.parameters())
    before = snapshot(model.noise_prior)
    model.train_step(tools.make_data(), tools.make_wrappers(model))
    assert not changed(model.noise_prior, before)
    stored = torch.load(prior_file, weights_only=True)['state_dict']
    assert all(stored[k].equal(v) for k, v in before.items())


def test_noise_goes_through_the_prior(make, tools, prior_file):
    model = make(noise='prior', prior_checkpoint=str(prior_file))
    start(model)
    z = torch.randn(2, 4, 2, 2)
    shaped = model.noise_fn(z)
    assert shaped.equal(model.noise_prior.encode(model.noise_prior.decode(z))[0])
    assert not shaped.requires_grad and shaped.shape == z.shape
    assert not shaped.equal(z)
    assert make(noise='random').noise_fn(z).equal(z)


@pytest.mark.parametrize('moved', [False, True])
def test_prior_is_found_in_a_work_directory(moved, make, prior_file):
    noted = f'/elsewhere/{prior_file.name}' if moved else str(prior_file)
    (prior_file.parent / 'last_checkpoint').write_text(noted)
    model = make(noise='prior', prior_checkpoint=str(prior_file.parent))
    start(model)
    assert model.noise_prior.is_trained


def test_checkpoint_of_the_gan_holds_the_prior(make, prior_file, tools):
    model = make(noise='prior', prior_checkpoint=str(prior_file))
    start(model)
    other = make(noise='prior')
    other.load_state_dict(model.state_dict())
    inputs = model.data_preprocessor(tools.make_data())['inputs']
    inputs['noise'] = torch.randn(2, 4, 2, 2)
    with torch.no_grad():
        assert model.eval()(inputs)[0].fake_img.equal(other.eval()(inputs)[0].fake_img)


def test_fig4_prior_fits_through_its_latent_shape(make, tools):
    prior = dict(
        type='NoisePriorVAE',
        arrangement='fig4',
        image_size=8,
        latent_channels=4,
        base_channels=4,
        num_scales=1,
    )
    assert NoisePriorVAE(**{k: v for k, v in prior.items() if k != 'type'}).latent_shape == (
        4,
        16,
        16,
    )
    generator = {**tools.generator_cfg(), 'noise_shape': (4, 16, 16)}
    cfg = {**copy.deepcopy(tools.MODEL), 'generator': generator}
    model = tools.build({**cfg, 'noise': 'prior', 'noise_prior': prior})
    for module in model.noise_prior.modules():  # stands for training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.num_batches_tracked.add_(1)
    model.train()
    before = snapshot(model.generator)
    model.train_step(tools.make_data(), tools.make_wrappers(model))
    assert changed(model.generator, before)


@pytest.mark.parametrize('path', [None, 'nowhere.pth', ''])
def test_missing_prior_names_the_command(path, make):
    model = make(noise='prior', prior_checkpoint=path)
    with pytest.raises(
        FileNotFoundError,
        match=r'Expected a trained noise prior at .*, '
        r'but there is none; make it with "python tools/train\.py '
        r'configs/noise_prior_x\.py"',
    ):
        start(model)


def test_empty_work_directory_counts_as_missing(make, tmp_path):
    model = make(noise='prior', prior_checkpoint=str(tmp_path))
    with pytest.raises(FileNotFoundError, match='there is none; make it'):
        start(model)


def test_prior_of_another_architecture_names_entry_and_command(make, tools, prior_file):
    model = make(
        noise='prior',
        prior_checkpoint=str(prior_file),
        noise_prior={**tools.PRIOR, 'base_channels': 8},
    )
    with pytest.raises(
        ValueError,
        match=r'architecture in this config, but '
        r'.*iter_3\.pth differs in \d+ entries \(first: '
        r'encoder\.0\.weight\); make a fitting one with "pyth',
    ):
        start(model)


def test_prior_of_the_checkpoint_goes_before_the_file(make, prior_file, tmp_path):
    trained = start(make(noise='prior', prior_checkpoint=str(prior_file)))
    trained.noise_prior.encoder[0].weight.data.add_(1)
    path = tmp_path / 'gan.pth'
    torch.save(dict(state_dict=trained.state_dict()), path)
    for file in (None, 'nowhere.pth', str(prior_file)):
        model = make(noise='prior', prior_checkpoint=file)
        model.init_weights()
        load_checkpoint(model, str(path), map_location='cpu')
        model.train()
        assert not changed(model.noise_prior, snapshot(trained.noise_prior))
        assert not any(m.training for m in model.noise_prior.modules())


def test_checkpoint_without_a_prior_leaves_the_file_to_be_read(make, prior_file, tmp_path):
    path = tmp_path / 'random.pth'
    torch.save(dict(state_dict=make().state_dict()), path)
    model = make(noise='prior', prior_checkpoint=str(prior_file))
    model.init_weights()
    load_checkpoint(model, str(path), map_location='cpu')
    assert not model.noise_prior.is_trained
    assert model.train().noise_prior.is_trained


def test_untrained_prior_is_refused_when_sampling(make, tools):
    model = make(noise='prior').eval()
    with pytest.raises(
        RuntimeError,
        match='Expected a trained noise prior, but its weights were never loaded; make it with',
    ):
        model.val_step(tools.make_data())


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


def test_third_stage_starts_from_a_two_stage_checkpoint(make, tools, prior_file, tmp_path):
    """Lower stages load as they are; the new one trains at once."""
    ema = dict(type='ExponentialMovingAverage', momentum=0.5, interval=1)
    trained = make(noise='prior', prior_checkpoint=str(prior_file), ema_config=ema)
    start(trained)
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
    before = snapshot(model.train())  # needs no prior file
    model.train_step(tools.make_data(size=64), tools.make_wrappers(model))
    for part in (
        'generator.refiners.0',
        'generator.refiners.1',
        'generator_ema.module.refiners.1',
        'discriminator.stages.2',
    ):
        assert any(
            not value.equal(before[name])
            for name, value in model.state_dict().items()
            if name.startswith(part)
        ), part


@pytest.mark.parametrize(
    'options, text',
    [
        (dict(noise='white'), r"noise must be one of \('prior', 'random'\), but got 'white'"),
        (
            dict(
                noise='prior',
                noise_prior=dict(
                    type='NoisePriorVAE', image_size=16, latent_channels=4, num_scales=2
                ),
            ),
            r'shape \(4, 2, 2\) of the generator.s noise_shape, but got '
            r'\(4, 4, 4\)',
        ),
        (
            dict(discriminator=[dict(type='SLNPDiscriminator', num_classes=5)]),
            'one discriminator for each of the 2 stages of the generator, but got 1',
        ),
    ],
)
def test_bad_settings_are_refused(options, text, make):
    with pytest.raises(ValueError, match=text):
        make(**options)


def test_discriminators_may_differ_by_stage(make):
    cfg = dict(type='SLNPDiscriminator', num_classes=5, base_channels=8, num_layers=2)
    model = make(discriminator=[cfg, {**cfg, 'num_layers': 3}])
    assert [len(d.layers) for d in model.discriminator.stages] == [2, 3]


def test_sampling_needs_no_discriminator(make, tools):
    model = make(discriminator=None).eval()
    assert model.discriminator is None
    assert len(model.val_step(tools.make_data())) == 2


def test_damaged_prior_is_one_sentence(make, prior_file):
    prior_file.write_bytes(prior_file.read_bytes()[:200])
    model = make(noise='prior', prior_checkpoint=str(prior_file))
    with pytest.raises(SLNPError, match=r'iter_3\.pth cannot be read as a checkpoint'):
        start(model)


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
    with pytest.raises(
        ValueError, match='Expected 7 classes .* SLNPGenerator has 5; state it once'
    ):
        tools.build({**cfg, 'num_classes': 7})
