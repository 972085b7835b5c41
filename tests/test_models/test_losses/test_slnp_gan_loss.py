"""Equation (18) by hand and against a loop in float64."""

import math

import pytest
import torch

from slnp_mm.models import SLNPGANLoss

LOGITS = torch.tensor([-2.0, 0.0, 1.5, 30.0], dtype=torch.float64)


def naive(term):
    """Mean of ``term(D)`` with D the sigmoid of the logits."""
    values = [term(1 / (1 + math.exp(-float(x)))) for x in LOGITS[:3]]
    return sum(values) / len(values)


def loss(real, is_disc, logits=LOGITS[:3], **options):
    return SLNPGANLoss(**options)(logits, real, is_disc).item()


def test_undecided_discriminator_costs_one_bit_a_term():
    half = torch.zeros(2, 1, 3, 3)  # D = 0.5
    assert loss(True, True, half) == pytest.approx(1)
    assert loss(False, True, half) == pytest.approx(1)


def test_undecided_generator_is_at_minus_or_plus_one_bit():
    half = torch.zeros(2, 1, 3, 3)
    assert loss(True, False, half) == pytest.approx(-1)  # lb(1 - 0.5)
    assert loss(True, False, half, saturating=False) == pytest.approx(1)


def test_discriminator_terms_match_loop():
    assert loss(True, True) == pytest.approx(naive(lambda d: -math.log2(d)))
    assert loss(False, True) == pytest.approx(naive(lambda d: -math.log2(1 - d)))


def test_generator_terms_match_loop():
    assert loss(True, False) == pytest.approx(naive(lambda d: math.log2(1 - d)))
    assert loss(True, False, saturating=False) == pytest.approx(naive(lambda d: -math.log2(d)))


def test_gradient_of_the_log_loss_matches_the_derivative():
    """d/dx of -lb D(x) is (D - 1) / ln 2."""
    x = LOGITS[:3].clone().requires_grad_()
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
    x = torch.tensor([-2.0, 0.0, 1.5])
    assert loss(True, True, x, gan_type='hinge') == pytest.approx((3 + 1 + 0) / 3)
    assert loss(False, True, x, gan_type='hinge') == pytest.approx((0 + 1 + 2.5) / 3)
    assert loss(True, False, x, gan_type='hinge') == pytest.approx(0.5 / 3)


def test_unknown_type_is_refused():
    with pytest.raises(
        ValueError,
        match=r"gan_type must be one of \('log', "
        r"'hinge'\), but got 'wgan'\.",
    ):
        SLNPGANLoss(gan_type='wgan')
