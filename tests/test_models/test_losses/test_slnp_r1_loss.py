"""The gradient penalty by hand and against finite differences."""

import pytest
import torch
from torch import nn

from slnp_mm.models import SLNPR1Loss


def penalty(network, images, **options):
    images = images.clone().requires_grad_()
    return SLNPR1Loss(**options)(network(images), images)


def linear_map(value=0.5):
    """4x4 decisions side by side: each sees its own 48 values."""
    conv = nn.Conv2d(3, 1, 4, stride=4)
    nn.init.constant_(conv.weight, value)
    return conv


@pytest.mark.parametrize('size', [4, 8, 16])
def test_linear_decisions_by_hand_at_any_size(size):
    """|w|^2 = 48 * 0.25 = 12, times 10 / 2; one decision or sixteen."""
    images = torch.randn(2, 3, size, size)
    value = penalty(linear_map(), images, loss_weight=10.0, interval=1)
    assert value.shape == ()
    assert value.item() == pytest.approx(60.0)


def test_interval_multiplies_the_weight():
    images = torch.randn(1, 3, 8, 8)
    value = penalty(linear_map(), images, loss_weight=10.0, interval=16)
    assert value.item() == pytest.approx(960.0)


def test_gradient_in_the_weights_by_hand():
    """d/dw of (w' / 2) |w|^2 is w' w, here 2 * 3 * 0.5."""
    conv = linear_map()
    images = torch.randn(2, 3, 8, 8)
    penalty(conv, images, loss_weight=2.0, interval=3).backward()
    torch.testing.assert_close(conv.weight.grad, torch.full_like(conv.weight, 3.0))


def test_flat_discriminator_costs_nothing():
    images = torch.randn(2, 3, 8, 8)
    assert penalty(linear_map(0.0), images).item() == 0


@pytest.mark.parametrize('norm', ['none', 'instance'])
def test_penalty_matches_finite_differences(norm, tools):
    """Every pixel moved both ways, float64; decisions overlap here."""
    cfg = {**tools.MODEL['discriminator'], 'norm': norm, 'base_channels': 4}
    stage = tools.build(cfg).double()
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64) * 2 - 1
    label = torch.randint(0, tools.CLASSES, (2, 8, 8))
    step, want = 1e-5, 0.0
    with torch.no_grad():
        for b in range(2):
            for index in range(images[b].numel()):
                sums = []
                for sign in (1, -1):
                    moved = images.clone()
                    moved[b].view(-1)[index] += sign * step
                    logits = stage(moved, label).logits
                    sums.append(logits[b].sum().item())
                want += ((sums[0] - sums[1]) / (2 * step)) ** 2
        positions = logits[0].numel()
    value = penalty(lambda x: stage(x, label).logits, images, loss_weight=4.0, interval=1)
    assert positions == 4
    assert value.item() == pytest.approx(4 / 2 * want / positions / 2)


def test_due_on_the_first_and_every_nth_iteration():
    loss = SLNPR1Loss(interval=3)
    due = [loss.is_due(iteration) for iteration in range(7)]
    assert due == [True, False, False, True, False, False, True]


@pytest.mark.parametrize(
    'options, text',
    [
        (dict(loss_weight=-1.0), r'loss_weight must be >= 0, but got -1\.0'),
        (dict(interval=0), 'interval must be >= 1, but got 0'),
    ],
)
def test_bad_settings_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        SLNPR1Loss(**options)
