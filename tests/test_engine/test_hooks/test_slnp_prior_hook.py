"""The distribution of codes is fitted before a prior is saved."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from slnp_mm.engine import SLNPPriorHook
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
