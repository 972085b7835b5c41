"""Equation (19) by hand and in float64."""

import pytest
import torch

from slnp_mm.models import feature_matching_loss


def test_value_by_hand():
    fake = [torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0]]]])]
    real = [torch.zeros(1, 1, 1, 2), torch.tensor([[[[5.0]]]])]
    assert feature_matching_loss(fake, real).item() == 2 + 3


def test_value_is_the_mean_distance_summed_over_layers():
    shapes = [(2, 3, 4, 4), (2, 5, 2, 2)]
    fake, real = ([torch.randn(s, dtype=torch.float64) for s in shapes] for _ in range(2))
    want = sum((f - r).abs().mean() for f, r in zip(fake, real))
    torch.testing.assert_close(feature_matching_loss(fake, real), want)


def test_only_the_first_images_are_compared():
    fake, real = torch.randn(2, 4, 3, 8, 8)
    fake.requires_grad_()
    value = feature_matching_loss([fake], [real], 3)
    torch.testing.assert_close(value, feature_matching_loss([fake[:3]], [real[:3]]))
    value.backward()
    assert fake.grad[:3].all() and not fake.grad[3].any()


def test_gradient_reaches_the_generated_branch_only():
    fake, real = (torch.randn(1, 3, 4, 4).requires_grad_() for _ in 'fr')
    feature_matching_loss([fake], [real]).backward()
    assert real.grad is None
    torch.testing.assert_close(fake.grad, (fake - real).sign().detach() / fake.numel())


def test_other_number_of_layers_is_refused():
    features = [torch.zeros(1, 1, 1, 1)]
    text = 'Expected as many layers of real as of generated features, but got 2 and 1'
    with pytest.raises(ValueError, match=text):
        feature_matching_loss(features, features * 2)
