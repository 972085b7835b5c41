"""Training step and its options, sampling, checkpoints and the errors of SLNPGAN."""

import copy
import math
import warnings

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import load_checkpoint

from slnp_mm.engine.hooks.slnp_watch_hook import StepGuard
from slnp_mm.errors import SLNPError
from slnp_mm.models.slnp_gan import JudgedImages, _signs

NAMES = ('loss_gan_d_real', 'loss_gan_d_fake', 'd_real', 'd_fake', 'loss_gan_g', 'loss_fm_g')


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
    prior = tools.train_statistics(tools.build(tools.PRIOR, seed=5))
    path = tmp_path / 'prior' / 'iter_3.pth'
    path.parent.mkdir()
    torch.save(dict(state_dict=prior.state_dict()), path)
    return path


@pytest.fixture
def started(make, prior_file):
    """The tiny model with a prior, as a runner starts it."""
    return start(make(noise='prior', prior_checkpoint=str(prior_file)))


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


def start(model):
    """What a runner does before the first batch."""
    model.init_weights()
    return model.train()


def stage_tensors():
    """Real and generated images in float64 with labels, two stages."""
    sizes = (16, 32)
    labels = [torch.randint(0, 5, (2, s, s)) for s in sizes]
    return [
        JudgedImages(
            [torch.rand(2, 3, s, s, dtype=torch.float64) * 2 - 1 for s in sizes], labels, [None] * 2
        )
        for _ in range(2)
    ]


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
            mean = logits.sigmoid().mean().item()
            assert log_vars[f'd_{name}_s{k}'].item() == pytest.approx(mean)
            want += value
    assert loss.item() == pytest.approx(want)


@pytest.mark.parametrize('weight', [0.0, 2.5, 10.0])
def test_total_is_gan_loss_plus_lambda_times_matching(weight, make):
    """Eq. (20), the generator's part."""
    model = make(feature_loss=dict(type='SLNPFeatureMatchingLoss', loss_weight=weight)).double()
    reals, fakes = stage_tensors()
    gan, matching = 0.0, 0.0
    for k, stage in enumerate(model.discriminator.stages):
        fake = stage(fakes.images[k], fakes.labels[k])
        real = stage(reals.images[k], reals.labels[k])
        gan -= bits(fake.logits, False)  # lb(1 - D), saturating
        for f, r in zip(fake.features, real.features):
            matching += (f - r).abs().mean().item()
    loss, log_vars = model._gen_loss(reals, fakes, 2)
    assert loss.item() == pytest.approx(gan + weight * matching)
    logged = sum(log_vars[f'loss_fm_g_s{k}'].item() for k in range(2))
    assert logged == pytest.approx(weight * matching)


def test_without_feature_loss_only_the_gan_term_is_left(make):
    model = make(feature_loss=None).double()
    _, log_vars = model._gen_loss(*stage_tensors(), 2)
    assert {k for k in log_vars if 'loss' in k} == {'loss_gan_g_s0', 'loss_gan_g_s1', 'loss'}


def test_losses_reach_their_own_networks_only(make):
    model = make().double()
    reals, fakes = stage_tensors()
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
    names = {f'{name}_s{k}' for name in NAMES for k in range(2)}
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
    label = tools.make_instances()[2]
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
    found, want = (x['loss_gan_d_real_s1'].item() for x in (log_vars, exact))
    assert found == pytest.approx(want, rel=0.05)


def test_compile_is_of_the_networks_alone(make, tools, monkeypatch):
    """With a compiler that only counts the calls: torch's takes a minute."""
    calls = []

    def count(call, **options):
        assert options == dict(mode='default', dynamic=False)
        name = type(call.__self__).__name__
        return lambda *args, **kwargs: calls.append(name) or call(*args, **kwargs)

    monkeypatch.setattr('torch.compile', count)
    model = make(discriminator=tools.PRETRAINED)
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


def test_prior_is_frozen_and_in_evaluation_mode(started, tools, prior_file):
    model = started
    assert model.generator.training
    assert not any(m.training for m in model.noise_prior.modules())
    assert not any(p.requires_grad for p in model.noise_prior.parameters())
    before = snapshot(model.noise_prior)
    model.train_step(tools.make_data(), tools.make_wrappers(model))
    assert not changed(model.noise_prior, before)
    stored = torch.load(prior_file, weights_only=True)['state_dict']
    assert all(stored[k].equal(v) for k, v in before.items())


def test_noise_goes_through_the_prior(started, make):
    z, prior = torch.randn(2, 4, 2, 2), started.noise_prior
    shaped = started.noise_fn(z)
    assert shaped.equal(prior.encode(prior.decode(z))[0])
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


def test_checkpoint_of_the_gan_holds_the_prior(started, make, inputs):
    other = make(noise='prior')
    other.load_state_dict(started.state_dict())
    assert started.eval()(inputs)[0].fake_img.equal(other.eval()(inputs)[0].fake_img)


def test_fig4_prior_fits_through_its_latent_shape(make, tools):
    prior = {**tools.PRIOR, 'arrangement': 'fig4', 'num_scales': 1}
    model = make(generator=dict(noise_shape=(4, 16, 16)), noise='prior', noise_prior=prior)
    tools.train_statistics(model.noise_prior)
    model.train()
    before = snapshot(model.generator)
    model.train_step(tools.make_data(), tools.make_wrappers(model))
    assert changed(model.generator, before)


@pytest.mark.parametrize('path', [None, 'nowhere.pth', '', '.'])
def test_missing_prior_or_empty_work_directory_names_the_command(path, make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (
        r'Expected a trained noise prior at .*, but there is none; '
        r'make it with "python tools/train\.py configs/noise_prior_x\.py"'
    )
    with pytest.raises(FileNotFoundError, match=text):
        start(make(noise='prior', prior_checkpoint=path))


def test_prior_of_another_architecture_names_entry_and_command(make, tools, prior_file):
    wider = {**tools.PRIOR, 'base_channels': 8}
    model = make(noise='prior', prior_checkpoint=str(prior_file), noise_prior=wider)
    text = (
        r'architecture in this config, but .*iter_3\.pth differs in \d+ entries '
        r'\(first: encoder\.0\.weight\); make a fitting one with "pyth'
    )
    with pytest.raises(ValueError, match=text):
        start(model)


def test_prior_of_the_checkpoint_goes_before_the_file(started, make, prior_file, tmp_path):
    started.noise_prior.encoder[0].weight.data.add_(1)
    path = tmp_path / 'gan.pth'
    torch.save(dict(state_dict=started.state_dict()), path)
    for file in (None, 'nowhere.pth', str(prior_file)):
        model = make(noise='prior', prior_checkpoint=file)
        model.init_weights()
        load_checkpoint(model, str(path), map_location='cpu')
        model.train()
        assert not changed(model.noise_prior, snapshot(started.noise_prior))
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
    text = 'Expected 7 classes .* SLNPGenerator has 5; state it once'
    with pytest.raises(ValueError, match=text):
        tools.build({**cfg, 'num_classes': 7})


@pytest.mark.parametrize('share, num_coded', [(0.01, 1), (0.5, 1), (1.0, 2)])
def test_first_images_have_the_codes_of_their_photographs(share, num_coded, coded, tools, inputs):
    model, seen = coded(share), []
    model.generator.register_forward_hook(lambda _, args, out: seen.append(args[3]))
    model.train_step(tools.make_data(), tools.make_wrappers(model))
    codes = model.noise_prior.encode(inputs['img'])[0]
    assert seen[0].shape == codes.shape
    for i in range(2):
        assert seen[0][i].allclose(codes[i]) == (i < num_coded)


def test_only_coded_images_are_compared_with_their_photographs(coded):
    """Eq. (19) over the first image alone, against the loss of its own features."""
    model = coded(0.5).double()
    real, fake = stage_tensors()
    _, log_vars = model._gen_loss(real, fake, 1)
    for k, stage in enumerate(model.discriminator.stages):
        want = 0.0
        first = [stage(x.images[k][:1], x.labels[k][:1]).features for x in (fake, real)]
        for f, r in zip(*first):
            want += 10 * (f - r).abs().mean().item()
        assert log_vars[f'loss_fm_g_s{k}'].item() == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize('share, noise', [(-0.1, 'prior'), (1.5, 'prior'), (0.5, 'random')])
def test_codes_that_cannot_be_had_are_refused(share, noise, make):
    with pytest.raises(ValueError, match='code_share must be from 0 to 1, and 0 with random'):
        make(noise=noise, code_share=share)


def test_style_is_the_code_of_a_photograph(coded, inputs):
    model, seen = coded().eval(), []
    model.generator.register_forward_hook(lambda _, args, out: seen.append(args[3]))
    model(dict(inputs, style=inputs['img'].flip(0)))
    assert seen[0].equal(model.noise_prior.encode(inputs['img'])[0].flip(0))


def test_pretrained_discriminator_looks_once_an_update(coded, tools):
    """Twice a step and stage in all: photographs and generated images, for both networks."""
    model, passes = coded(discriminator=tools.PRETRAINED), []
    for stage in model.discriminator.stages:
        stage._frozen[0].register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    before = snapshot(model)
    log_vars = model.train_step(tools.make_data(), tools.make_wrappers(model))
    assert passes == [False, False, True, True]
    assert all(math.isfinite(v.item()) for v in log_vars.values())
    assert_moved(model, before, 'generator.global', 'generator.refiners', 'discriminator')
    assert not any('frozen' in key for key in model.state_dict())
