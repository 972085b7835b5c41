"""The prior of a GAN is loaded before training; codes are fitted before a prior is saved."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from slnp_mm.engine import SLNPPriorHook
from slnp_mm.engine.hooks.slnp_prior_hook import prior_config
from slnp_mm.errors import SLNPError
from slnp_mm.models import NoisePriorVAE

# five images of one color each, as the loader's data set gives them
PHOTOGRAPHS = [
    dict(inputs=dict(img=torch.full((3, 8, 8), 50 * i, dtype=torch.uint8)), data_samples=None)
    for i in range(5)
]


class Preprocessor(nn.Module):
    """Stack and scale."""

    def forward(self, batch):
        image = torch.stack(batch['inputs']['img'])
        return dict(inputs=dict(img=image.float() / 127.5 - 1))


@pytest.fixture
def runner():
    """A prior whose batch norms have seen data, in training mode."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmagic'):
        prior = NoisePriorVAE(
            image_size=8, latent_channels=4, base_channels=4, num_scales=2, code_rank=2
        )
    prior.loss(torch.rand(4, 3, 8, 8) * 2 - 1)
    prior.data_preprocessor = Preprocessor()
    return SimpleNamespace(model=prior, train_dataloader=SimpleNamespace(dataset=PHOTOGRAPHS))


@pytest.mark.parametrize('most, indices', [(9, [0, 1, 2, 3, 4]), (3, [0, 1, 3])])
def test_saved_distribution_is_that_of_the_encoders_codes(runner, most, indices):
    checkpoint = dict(state_dict=runner.model.state_dict())
    checkpoint['state_dict'] = {k: v.clone() for k, v in checkpoint['state_dict'].items()}
    SLNPPriorHook(max_images=most, batch_size=2).before_save_checkpoint(runner, checkpoint)
    assert runner.model.training

    runner.model.eval()
    images = torch.stack([torch.full((3, 8, 8), 50.0 * i) for i in indices]) / 127.5 - 1
    with torch.no_grad():
        codes = runner.model.encode(images)[0].flatten(1)
    for state in (runner.model.state_dict(), checkpoint['state_dict']):
        torch.testing.assert_close(state['code_mean'], codes.mean(0), rtol=1e-4, atol=1e-5)
        variance = (codes.var(0)).sum()
        stds = state['code_stds']
        torch.testing.assert_close(
            stds[:2].square().sum() + 14 * stds[2].square(), variance, rtol=1e-4, atol=1e-6
        )


def test_too_few_photographs_are_refused(runner):
    with pytest.raises(ValueError, match='more images than code_rank = 2 .* but got 2'):
        SLNPPriorHook(max_images=2).before_save_checkpoint(runner, dict(state_dict={}))


def test_other_models_are_left_alone(runner):
    runner.model = nn.Linear(1, 1)
    checkpoint = dict(state_dict={})
    SLNPPriorHook().before_save_checkpoint(runner, checkpoint)
    assert checkpoint == dict(state_dict={})


@pytest.fixture
def prior_file(runner, tmp_path):
    """Checkpoint of a trained prior in a work directory."""
    path = tmp_path / 'work_dirs/noise_prior_x/iter_3.pth'
    path.parent.mkdir(parents=True)
    torch.save(dict(state_dict=runner.model.state_dict(), meta=dict(iter=3)), path)
    return path


@pytest.fixture
def start(tmp_path):
    """Start the training of a GAN with a fresh prior; give the prior."""

    def run(source, trained=False, **options):
        sizes = dict(image_size=8, latent_channels=4, base_channels=4, num_scales=2, code_rank=2)
        prior = NoisePriorVAE(**{**sizes, **options})
        prior.is_trained = trained
        gan = nn.Module()
        gan.noise_prior, gan.prior_checkpoint = prior, source and str(source)
        cfg = SimpleNamespace(filename=str(tmp_path / 'configs/ablations/gan.py'))
        SLNPPriorHook().before_train(SimpleNamespace(model=gan, cfg=cfg))
        return prior

    return run


@pytest.mark.parametrize('noted', [None, 'iter_3.pth', '/elsewhere/iter_3.pth'])
def test_prior_is_loaded_from_a_file_or_a_work_directory(noted, start, runner, prior_file):
    if noted:
        (prior_file.parent / 'last_checkpoint').write_text(noted)
    for source in (prior_file, prior_file.parent):
        prior, want = start(source), runner.model.state_dict()
        assert prior.is_trained
        assert all(value.equal(want[key]) for key, value in prior.state_dict().items())


def test_prior_that_a_checkpoint_brought_is_kept(start, runner, prior_file):
    for source in (None, 'nowhere', prior_file):
        prior = start(source, trained=True)
        assert not prior.encoder[0].weight.equal(runner.model.encoder[0].weight)


def test_models_without_a_prior_train_on():
    for model in (nn.Linear(1, 1), SimpleNamespace(noise_prior=None)):
        SLNPPriorHook().before_train(SimpleNamespace(model=model))


@pytest.mark.parametrize('source', [None, '', 'empty', 'nowhere.pth'])
def test_missing_prior_names_the_command(source, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    text = (
        r'but there is none: train it with "python tools/train\.py .*\.py", or train without a '
        r'prior \(--cfg-options model.noise=random\)'
    )
    with pytest.raises(SLNPError, match=text):
        start(source)


def test_prior_of_another_architecture_names_entry_and_command(start, prior_file):
    text = (
        r'architecture in this config, but .*iter_3\.pth differs in \d+ entries '
        r'\(first: encoder\.0\.weight\): train a matching one with "python tools/train\.py '
        r'configs/noise_prior_x\.py"'
    )
    with pytest.raises(SLNPError, match=text):
        start(prior_file, base_channels=8)


def test_damaged_prior_is_one_sentence(start, prior_file):
    prior_file.write_bytes(prior_file.read_bytes()[:200])
    with pytest.raises(SLNPError, match=r'iter_3\.pth cannot be read as a checkpoint'):
        start(prior_file)


def test_config_of_a_prior_lies_beside_the_gans_or_above(tmp_path):
    gan = tmp_path / 'configs/ablations/gan.py'
    gan.parent.mkdir(parents=True)
    for path in ('configs/noise_prior_a.py', 'configs/ablations/noise_prior_b.py'):
        (tmp_path / path).touch()
        work_dir = f'work_dirs/{(tmp_path / path).stem}'
        assert prior_config(work_dir, str(gan)) == str(tmp_path / path)
        assert prior_config(f'{work_dir}/iter_1.pth', str(gan)) == str(tmp_path / path)
    assert prior_config('work_dirs/noise_prior_c', str(gan)) == 'configs/noise_prior_c.py'
    assert prior_config('work_dirs/noise_prior_c') == 'configs/noise_prior_c.py'
    assert prior_config(None) == 'configs/noise_prior_<data>.py'
