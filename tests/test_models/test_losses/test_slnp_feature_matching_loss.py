"""Equation (19) by hand and against a loop in float64."""

import pytest
import torch

from slnp_mm.models import SLNPFeatureMatchingLoss


def test_value_by_hand():
    fake = [torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0]]]])]
    real = [torch.zeros(1, 1, 1, 2), torch.tensor([[[[5.0]]]])]
    assert SLNPFeatureMatchingLoss(10.0)(fake, real).item() == 10 * (2 + 3)


def test_value_matches_loop():
    shapes = [(2, 3, 4, 4), (2, 5, 2, 2)]
    fake = [torch.randn(s, dtype=torch.float64) for s in shapes]
    real = [torch.randn(s, dtype=torch.float64) for s in shapes]
    total = 0.0
    for f, r in zip(fake, real):
        per_image = []
        for b in range(2):
            values = zip(f[b].flatten().tolist(), r[b].flatten().tolist())
            per_image.append(sum(abs(x - y) for x, y in values) / f[b].numel())
        total += sum(per_image) / 2
    assert SLNPFeatureMatchingLoss(3.0)(fake, real).item() == pytest.approx(3 * total)


@pytest.mark.parametrize('balance', [0.0, 0.5])
def test_only_the_first_images_are_compared(balance):
    loss = SLNPFeatureMatchingLoss(2.0, balance)
    fake, real = torch.randn(2, 4, 3, 8, 8)
    label = torch.randint(0, 3, (4, 8, 8))
    fake.requires_grad_()
    value = loss([fake], [real], label, 3)
    torch.testing.assert_close(value, loss([fake[:3]], [real[:3]], label[:3]))
    value.backward()
    assert fake.grad[:3].all() and not fake.grad[3].any()


def test_same_features_cost_nothing():
    features = [torch.randn(1, 2, 3, 3)]
    assert SLNPFeatureMatchingLoss()(features, features).item() == 0


def test_gradient_reaches_the_generated_branch_only():
    fake, real = (torch.randn(1, 3, 4, 4).requires_grad_() for _ in 'fr')
    SLNPFeatureMatchingLoss(1.0)([fake], [real]).backward()
    assert real.grad is None
    torch.testing.assert_close(fake.grad, (fake - real).sign().detach() / fake.numel())


def test_negative_weight_is_refused():
    with pytest.raises(ValueError, match='loss_weight must be >= 0, but got -1'):
        SLNPFeatureMatchingLoss(-1)


def test_other_number_of_layers_is_refused():
    features = [torch.zeros(1, 1, 1, 1)]
    with pytest.raises(
        ValueError, match='Expected as many real as generated layers, but got 2 and 1'
    ):
        SLNPFeatureMatchingLoss()(features, features * 2)


@pytest.mark.parametrize('balance', [0.0, 0.5, 1.0])
def test_rare_classes_weigh_more_pixel_by_pixel(balance):
    """Three pixels of class 2 and one of class 0, unlabelled ones are a class of their own."""
    label = torch.tensor([[[2, 2], [2, 0]]])
    fake, real = torch.randn(1, 3, 2, 2), torch.randn(1, 3, 2, 2)
    raw = [[3**-balance, 3**-balance], [3**-balance, 1.0]]
    mean = sum(map(sum, raw)) / 4
    want = 0.0
    for row in range(2):
        for col in range(2):
            gap = (fake[0, :, row, col] - real[0, :, row, col]).abs().sum().item()
            want += raw[row][col] / mean * gap / 12
    loss = SLNPFeatureMatchingLoss(1.0, class_balance=balance)
    assert loss([fake], [real], label).item() == pytest.approx(want, rel=1e-5)


def test_weights_of_a_coarser_layer_are_averages():
    """A layer of one cell: every weight averages to 1."""
    label = torch.tensor([[[2, 2], [2, 0]]])
    fake, real = torch.randn(1, 3, 1, 1), torch.randn(1, 3, 1, 1)
    want = SLNPFeatureMatchingLoss(1.0)([fake], [real])
    balanced = SLNPFeatureMatchingLoss(1.0, class_balance=1.0)([fake], [real], label)
    torch.testing.assert_close(balanced, want)


def test_balance_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r'class_balance must be in \[0, 1\], but got 2'):
        SLNPFeatureMatchingLoss(class_balance=2)
