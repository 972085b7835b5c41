"""The noise prior: equations (1)-(7), both arrangements, collapse."""

import copy
import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from slnp_mm.models import NoisePriorVAE
from slnp_mm.models.vaes.noise_prior_vae import ResidualUnit, down, up


def make(**options):
    """A prior of 4 x 2 x 2 units."""
    sizes = dict(image_size=8, latent_channels=4, base_channels=4, num_scales=2)
    return NoisePriorVAE(**{**sizes, **options})


@pytest.fixture(params=['vae', 'fig4'])
def prior(request):
    return make(arrangement=request.param)


def test_blocks_of_figure_4():
    x = torch.randn(2, 4, 8, 8)
    assert down(4, 6)(x).shape == (2, 6, 4, 4)
    assert down(4, 6)[0].kernel_size == (3, 3)
    assert up(4, 6)(x).shape == (2, 6, 16, 16)
    assert up(4, 6)[0].kernel_size == (4, 4)
    unit = ResidualUnit(4)
    convs = [m for m in unit.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.kernel_size for c in convs] == [(3, 3)] * 3
    convs[-1].weight.data.zero_()
    convs[-1].bias.data.zero_()
    assert unit(x).equal(x)


@pytest.mark.parametrize(
    'arrangement, size, scales, side',
    [('vae', 8, 2, 2), ('vae', 16, 1, 8), ('fig4', 8, 1, 16), ('fig4', 4, 2, 16)],
)
def test_latent_is_smaller_than_the_image_but_larger_in_fig4(arrangement, size, scales, side):
    prior = make(arrangement=arrangement, image_size=size, num_scales=scales, latent_channels=2)
    latent = (2, side, side)
    assert prior.latent_shape == latent
    larger = math.prod(latent) >= 3 * size**2  # "not below the dimension bound"
    assert larger == (arrangement == 'fig4')
    mean, log_var = prior.encode(torch.rand(3, 3, size, size))
    assert mean.shape == log_var.shape == (3, *latent)
    image = prior.decode(torch.randn(3, *latent))
    assert image.shape == (3, 3, size, size)
    assert image.abs().max() <= 1
    assert prior.shape_noise(torch.randn(3, *latent)).shape == (3, *latent)


def test_larger_images_are_averaged_to_the_priors_size(prior):
    prior.eval()
    image = torch.rand(1, 3, 16, 16)
    small = image.unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean((3, 5))
    torch.testing.assert_close(prior.encode(image), prior.encode(small))


def test_elbo_terms_match_the_equations(prior, monkeypatch):
    """(6) and (7), torch's divergence, (5) their sum, one fixed noise."""
    prior.double().train()
    image = torch.rand(2, 3, 8, 8, dtype=torch.float64) * 2 - 1
    noise = torch.randn(2, *prior.latent_shape, dtype=torch.float64)
    monkeypatch.setattr(torch, 'randn_like', lambda _: noise)
    monkeypatch.setattr(prior, 'sample_std', lambda: torch.tensor(0.0))
    found = prior.loss(image)
    mean, log_var = prior.encode(image)
    posterior = Normal(mean, log_var.exp().sqrt())
    distance = prior.decode(mean + noise * posterior.stddev) - image
    want_recon = distance.square().mean() / (2 * prior.recon_std**2)
    want_kl = kl_divergence(posterior, Normal(0.0, 1.0)).sum() / 2 / (3 * 8 * 8)
    torch.testing.assert_close(found['loss_recon'], want_recon)
    torch.testing.assert_close(found['loss_kl'], want_kl)
    total, log_vars = prior.parse_losses(found)
    torch.testing.assert_close(total, want_recon + want_kl)
    torch.testing.assert_close(log_vars['recon_mae'], distance.abs().mean())


def test_kl_is_zero_for_a_standard_normal_posterior(prior, monkeypatch):
    zero = torch.zeros(2, *prior.latent_shape)
    monkeypatch.setattr(prior, 'encode', lambda _: (zero, zero))
    assert prior.loss(torch.zeros(2, 3, 8, 8))['loss_kl'].item() == 0


@pytest.mark.parametrize(
    'means, share', [((0, 0, 0, 0), 0.0), ((2, 0, 0, 0), 0.25), ((0.14, 0.15, 0, 0), 0.25)]
)
def test_active_units_count_varying_means(means, share, monkeypatch):
    """The variance of m and 0 is m^2 / 2: 0.0098 is below the threshold, 0.0113 above."""
    prior = make()
    mean = torch.zeros(2, *prior.latent_shape)
    mean[0] = torch.tensor(means)[:, None, None]
    monkeypatch.setattr(prior, 'encode', lambda _: (1 + mean, mean * 0))
    assert prior.loss(torch.zeros(2, 3, 8, 8))['active_units'] == share


def test_sample_std_is_zero_for_a_constant_decoder(prior, tools):
    tools.train_statistics(prior)
    assert prior.sample_std() > 0
    prior.decoder[-2].weight.data.zero_()
    assert prior.sample_std() == 0


def test_sample_std_leaves_mode_and_statistics(prior):
    prior.train()
    before = {k: v.clone() for k, v in prior.state_dict().items()}
    prior.sample_std()
    assert prior.decoder.training
    assert all(v.equal(before[k]) for k, v in prior.state_dict().items())


def test_is_trained_once_a_loss_is_computed_or_weights_are_loaded(prior, tools):
    other = copy.deepcopy(prior)
    assert not prior.is_trained
    assert tools.train_statistics(prior).is_trained
    assert not other.is_trained
    other.load_state_dict({}, strict=False)
    assert not other.is_trained
    other.load_state_dict(prior.state_dict())
    assert other.is_trained


def test_noise_prior_is_encoder_of_decoder(prior, tools):
    tools.train_statistics(prior)
    z = torch.randn(2, *prior.latent_shape)
    with torch.no_grad():
        want = prior.encoder(prior.decoder(z)).chunk(2, 1)[0]
    assert prior.shape_noise(z).equal(want)
    assert prior.shape_noise(z).equal(prior.shape_noise(z))
    assert not prior.shape_noise(z * 2).equal(want)


def test_every_parameter_gets_a_finite_gradient(prior, tools):
    loss, _ = prior.parse_losses(prior.loss(torch.rand(4, 3, 8, 8)))
    loss.backward()
    tools.assert_gradients(prior, idle_biases=True)


def test_predict_gives_reconstruction_and_image(tools):
    preprocessor = dict(type='SLNPDataPreprocessor', num_classes=tools.CLASSES)
    prior = tools.train_statistics(make(data_preprocessor=preprocessor))
    image = torch.rand(2, 3, 8, 8) * 2 - 1
    samples = prior(dict(img=image), mode='predict')
    assert len(samples) == 2
    want = ((image[0] + 1) * 127.5).flip(0)  # BGR, 0..255
    torch.testing.assert_close(samples[0].gt_img, want)
    assert samples[0].fake_img.shape == (3, 8, 8)
    assert len(prior(dict(img=image))) == 2
    assert 'loss_kl' in prior(dict(img=image), mode='loss')


@pytest.mark.parametrize(
    'options, text',
    [
        (dict(arrangement='fig5'), r"arrangement must be one of \('vae', 'fig4'\), but got 'fig5'"),
        (dict(recon_std=0), r'recon_std must be > 0, but got 0'),
    ],
)
def test_bad_settings_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        NoisePriorVAE(**options)


def coded(rank):
    """A prior whose codes have been fitted to correlated ones, and these."""
    prior = make(code_rank=rank).eval()
    axes = torch.randn(3, 16)
    codes = 2 + torch.randn(200, 3) @ axes + 0.1 * torch.randn(200, 16)
    prior.fit_codes(codes.view(200, 4, 2, 2))
    return prior, codes.double()


def test_sampled_codes_have_the_mean_and_covariance_of_the_fit():
    """The map of z is affine: its matrix, read off unit vectors, squared is the covariance."""
    prior, codes = coded(rank=3)
    prior = prior.double()
    origin = prior.sample_codes(torch.zeros(1, 4, 2, 2).double()).flatten()
    unit = torch.eye(16).double().view(16, 4, 2, 2)
    matrix = prior.sample_codes(unit).flatten(1) - origin
    torch.testing.assert_close(origin, codes.mean(0), rtol=1e-5, atol=1e-5)

    values, axes = torch.linalg.eigh(torch.cov(codes.T))
    values[:-3] = values[:-3].mean()
    want = axes @ values.diag() @ axes.T
    torch.testing.assert_close(matrix.T @ matrix, want, rtol=1e-4, atol=1e-4)


def test_noise_of_a_fitted_prior_is_a_code_decoded_and_encoded():
    prior, _ = coded(rank=3)
    z = torch.randn(2, 4, 2, 2)
    want = prior.encode(prior.decode(prior.sample_codes(z)))[0]
    assert prior.shape_noise(z).equal(want)
    assert not want.allclose(prior.encode(prior.decode(z))[0])


def test_without_a_rank_noise_enters_as_it_is():
    prior = make()
    z = torch.randn(2, 4, 2, 2)
    assert prior.sample_codes(z) is z
    assert not [key for key in prior.state_dict() if key.startswith('code_')]


def test_fit_of_too_few_codes_is_refused():
    prior, codes = coded(rank=3)
    with pytest.raises(ValueError, match='more images than code_rank = 3 .* but got 3'):
        prior.fit_codes(codes[:3].view(3, 4, 2, 2))
