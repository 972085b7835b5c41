"""Equation (18) by hand and against a loop in float64."""

import math

import pytest
import torch

from slnp_mm.models import SLNPGANLoss

LOGITS = torch.tensor([-2.0, 0.0, 1.5], dtype=torch.float64)


def naive(term):
    """Mean of ``term(D)`` with D the sigmoid of the logits."""
    values = [term(1 / (1 + math.exp(-float(x)))) for x in LOGITS]
    return sum(values) / len(values)


def loss(real, is_disc, logits=LOGITS, **options):
    return SLNPGANLoss(**options)(logits, real, is_disc).item()


@pytest.mark.parametrize(
    'real, is_disc, options, term, undecided',
    [
        (True, True, {}, lambda d: -math.log2(d), 1),
        (False, True, {}, lambda d: -math.log2(1 - d), 1),
        (True, False, {}, lambda d: math.log2(1 - d), -1),
        (True, False, dict(saturating=False), lambda d: -math.log2(d), 1),
    ],
)
def test_terms_match_loop_and_are_one_bit_where_undecided(real, is_disc, options, term, undecided):
    assert loss(real, is_disc, **options) == pytest.approx(naive(term))
    half = torch.zeros(2, 1, 3, 3)  # D = 0.5
    assert loss(real, is_disc, half, **options) == pytest.approx(undecided)


def test_gradient_of_the_log_loss_matches_the_derivative():
    """d/dx of -lb D(x) is (D - 1) / ln 2."""
    x = LOGITS.clone().requires_grad_()
    SLNPGANLoss()(x, True, True).backward()
    torch.testing.assert_close(x.grad, (x.detach().sigmoid() - 1) / math.log(2) / 3)


@pytest.mark.parametrize('real', [True, False])
def test_extreme_logits_stay_finite(real):
    x = torch.tensor([-200.0, 200.0], requires_grad=True)
    value = SLNPGANLoss()(x, real, True)
    value.backward()
    assert value.item() == pytest.approx(100 / math.log(2))
    assert x.grad.isfinite().all()


def test_hinge_by_hand():
    assert loss(True, True, gan_type='hinge') == pytest.approx((3 + 1 + 0) / 3)
    assert loss(False, True, gan_type='hinge') == pytest.approx((0 + 1 + 2.5) / 3)
    assert loss(True, False, gan_type='hinge') == pytest.approx(0.5 / 3)


def test_unknown_type_is_refused():
    text = r"gan_type must be one of \('log', 'hinge'\), but got 'wgan'\."
    with pytest.raises(ValueError, match=text):
        SLNPGANLoss(gan_type='wgan')
