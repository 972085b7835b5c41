"""The averaged generator against mmagic's."""

import copy

import torch
from mmagic.models.base_models import RampUpEMA

from slnp_mm.models import SLNPRampUpEMA


def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def test_averages_are_those_of_mmagic():
    model = make()
    options = dict(interval=2, ema_kimg=0.004, batch_size=2)
    ours, theirs = SLNPRampUpEMA(model, **options), RampUpEMA(model, **options)
    for _ in range(7):
        with torch.no_grad():
            for value in [*model.parameters(), model[1].running_mean]:
                value.add_(torch.randn_like(value))
        ours.update_parameters(model)
        theirs.update_parameters(model)
    assert ours.steps == 7 and not ours.module[0].weight.equal(model[0].weight)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())

    # and each loads the other's checkpoint
    fresh = SLNPRampUpEMA(make())
    fresh.load_state_dict(copy.deepcopy(theirs.state_dict()))
    assert fresh.steps == 7
    RampUpEMA(make()).load_state_dict(ours.state_dict())


def test_the_step_stays_on_the_cpu():
    average = SLNPRampUpEMA(make()).to('meta')
    assert average.module[0].weight.is_meta and average.steps.device.type == 'cpu'
