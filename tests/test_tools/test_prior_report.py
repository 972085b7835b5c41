"""Figures of the noise prior by loops; the tool from config to picture."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from _prior_report import build_prior, draw_rows, report_prior
from mmengine.config import Config

from slnp_mm.errors import SLNPError
from slnp_mm.models import NoisePriorVAE


@pytest.fixture
def prior():
    """Tiny, its batch norms have seen data."""
    torch.manual_seed(0)
    prior = NoisePriorVAE(image_size=8, latent_channels=4, base_channels=4, num_scales=2)
    for _ in range(3):
        prior.loss(torch.rand(4, 3, 8, 8) * 2 - 1)
    return prior.eval()


def test_figures_match_loops(prior):
    images = torch.rand(40, 3, 16, 16) * 2 - 1  # two parts, averaged to 8 px
    torch.manual_seed(7)
    found, _ = report_prior(prior, images, num_samples=5)
    small = images.unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean((3, 5))
    with torch.no_grad():
        mean, log_var = (x.double().numpy() for x in prior.encode(small))
        recon = prior.decode(prior.encode(small)[0])
        torch.manual_seed(7)
        spread = prior.decode(torch.randn(5, 4, 2, 2)).std(0).mean()
    errors = [abs(v) for v in (recon - small).flatten().tolist()]
    kl = [0.5 * (m * m + np.exp(s) - 1 - s) for m, s in zip(mean.ravel(), log_var.ravel())]
    active = [np.var(u, ddof=1) > 0.01 for u in mean.reshape(40, -1).T]
    assert found['num_images'] == 40
    assert found['latent_shape'] == [4, 2, 2]
    assert found['recon_mae'] == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    assert found['kl_per_unit'] == pytest.approx(sum(kl) / len(kl), rel=1e-5)
    assert found['active_units'] == pytest.approx(sum(active) / 16)
    assert found['sample_std'] == pytest.approx(spread.item())


def test_picture_has_a_row_each_for_real_reconstruction_and_sample(prior):
    _, rows = report_prior(prior, torch.ones(3, 3, 8, 8), num_samples=4)
    assert [len(row) for row in rows] == [3, 3, 4]
    assert (rows[0] == 255).all()
    picture = draw_rows(rows)
    assert picture.shape[2] == 3 and picture.shape[1] > picture.shape[0] * 0.9


def test_tool_prints_text_and_json_and_draws(use, priors, tmp_path, repository, capsys):
    work_dir = Path(priors('configs/noise_prior_toy.py').work_dir)
    run, out = (work_dir / 'noise_prior_toy.py', work_dir), tmp_path / 'shown' / 'prior.png'
    capsys.readouterr()
    assert use('show_prior', *run, '--out', out, '--num-samples', 4) == 0
    said = capsys.readouterr().out
    figures = json.loads(next(line for line in said.splitlines() if line.startswith('{')))
    assert figures['num_images'] == 2
    assert 0 <= figures['active_units'] <= 1
    assert f'{figures["recon_mae"]:.4f} mean absolute error' in said
    assert cv2.imread(str(out)).shape[2] == 3
    assert not list(out.parent.glob('*.part*'))


def test_a_config_without_a_prior_is_refused():
    model = dict(type='SLNPDiscriminator', num_classes=2)
    cfg = Config(dict(model=model), cfg_text='given', filename='x.py')
    with pytest.raises(SLNPError, match=r'x\.py has no noise prior'):
        build_prior(cfg, 'none.pth')
