"""Figures of the noise prior by loops; tools/test.py from config to sheet."""

import json
import math
from pathlib import Path

import cv2
import pytest
import torch

from slnp_mm.engine.hooks import sample_row
from slnp_mm.evaluation import SLNPPriorMetric
from slnp_mm.models import NoisePriorVAE


@pytest.fixture
def prior(repository):
    """Tiny, its batch norms have seen data."""
    torch.manual_seed(0)
    preprocessor = dict(type='SLNPDataPreprocessor', num_classes=3)
    prior = NoisePriorVAE(
        image_size=8,
        latent_channels=4,
        base_channels=4,
        num_scales=2,
        data_preprocessor=preprocessor,
    )
    for _ in range(3):
        prior.loss(torch.rand(4, 3, 8, 8) * 2 - 1)
    return prior.eval()


@torch.no_grad()
def test_figures_match_loops(prior):
    images = torch.rand(40, 3, 16, 16) * 2 - 1  # averaged to 8 px
    metric = SLNPPriorMetric()
    metric.num_samples = 5
    torch.manual_seed(7)
    for part in images.split((32, 8)):
        metric.process(None, [one.to_dict() for one in prior(dict(img=part), mode='predict')])
    found = metric.evaluate(40)

    small = images.unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean((3, 5))
    mean, log_var = (x.double() for x in prior.encode(small))
    errors = (prior.decode(prior.encode(small)[0]) - small).abs().flatten().tolist()
    pairs = zip(mean.flatten().tolist(), log_var.flatten().tolist())
    kl = [0.5 * (m * m + math.exp(s) - 1 - s) for m, s in pairs]
    units = mean.flatten(1).T.tolist()
    middles = [sum(unit) / 40 for unit in units]
    variances = [sum((v - m) ** 2 for v in u) / 39 for u, m in zip(units, middles)]
    torch.manual_seed(7)
    spread = prior.decode(torch.randn(32, 4, 2, 2))[:5].std(0).mean()
    assert found['recon_mae'] == pytest.approx(sum(errors) / len(errors), abs=2e-6)
    assert found['kl_per_unit'] == pytest.approx(sum(kl) / len(kl), abs=2e-6)
    assert found['active_units'] == pytest.approx(sum(v > 0.01 for v in variances) / 16)
    assert found['sample_std'] == pytest.approx(spread.item(), abs=2e-6)
    assert metric.last_report['protocol'] == dict(latent_shape=[4, 2, 2], num_samples=5)


@torch.no_grad()
def test_row_shows_reconstruction_sample_and_real_image(prior):
    torch.manual_seed(7)
    (sample,) = prior(dict(img=torch.ones(1, 3, 8, 8)), mode='predict')
    torch.manual_seed(7)
    sampled = prior.decode(torch.randn(1, 4, 2, 2))[0]
    pictures, titles = sample_row(sample, [])
    assert titles == ['reconstructed', 'sampled', 'real']
    want = ((sampled + 1) * 127.5).round().byte().permute(1, 2, 0)
    assert (pictures[1] == want.numpy()).all()
    assert (pictures[2] == 255).all()


def test_one_image_is_refused(prior):
    metric = SLNPPriorMetric()
    with torch.no_grad():
        samples = prior(dict(img=torch.ones(1, 3, 8, 8)), mode='predict')
    metric.process(None, [one.to_dict() for one in samples])
    with pytest.raises(ValueError, match='SLNPPriorMetric needs at least 2 images, got 1'):
        metric.evaluate(1)


def test_tool_measures_and_draws_a_trained_prior(use, priors, tmp_path, repository):
    work_dir = Path(priors('configs/noise_prior_toy.py').work_dir)
    words = (work_dir / 'noise_prior_toy.py', work_dir, '--work-dir', tmp_path / 'test')
    assert use('test', *words, '--out', tmp_path / 'scores.json') == 0
    figures = json.loads((tmp_path / 'scores.json').read_text())
    assert set(figures) == {'active_units', 'kl_per_unit', 'recon_mae', 'sample_std'}
    assert 0 <= figures['active_units'] <= 1 and figures['recon_mae'] > 0
    report = json.loads((tmp_path / 'test/test_report.json').read_text())
    assert report['figures'] == figures and report['protocol']['num_images'] == 2
    (sheet,) = tmp_path.glob('test/*/vis_data/vis_image/test_samples*.png')
    height, width, _ = cv2.imread(str(sheet)).shape
    assert width > height  # two rows of three
