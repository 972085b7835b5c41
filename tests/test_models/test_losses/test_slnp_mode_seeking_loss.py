"""The mode seeking loss by hand."""

import pytest
import torch

from slnp_mm.models import SLNPModeSeekingLoss


def images(*levels, size=4):
    """One flat image a level, (n, 3, size, size)."""
    return torch.tensor(levels)[:, None, None, None].expand(-1, 3, size, size)


def noises(*levels):
    return torch.tensor(levels)[:, None, None, None].expand(-1, 2, 2, 2)


def test_ratio_by_hand():
    """|0.1 - 0.3| / |0 - 2| = 0.1 and |0 - 0.3| / |1 - 2| = 0.3."""
    loss = SLNPModeSeekingLoss(loss_weight=5.0, max_ratio=1.0)
    value = loss(images(0.1, 0.0), images(0.3, 0.3), noises(0.0, 1.0), noises(2.0, 2.0))
    assert value.shape == ()
    assert value.item() == pytest.approx(-5 * (0.1 + 0.3) / 2)


def test_each_pair_is_bounded_and_then_has_no_gradient():
    """Ratios 0.1 and 0.8 under a bound of 0.25."""
    loss = SLNPModeSeekingLoss(loss_weight=2.0, max_ratio=0.25)
    first = images(0.0, 0.0).clone().requires_grad_()
    value = loss(first, images(0.1, 0.8), noises(0.0, 0.0), noises(1.0, 1.0))
    value.backward()
    assert value.item() == pytest.approx(-2 * (0.1 + 0.25) / 2)
    # d/dx of -2 * mean over 2 pairs of the mean over 48 values of (0.1 - x)
    torch.testing.assert_close(first.grad[0], torch.full((3, 4, 4), 1 / 48))
    assert (first.grad[1] == 0).all()


def test_equal_images_earn_nothing_and_equal_noises_are_bounded():
    loss = SLNPModeSeekingLoss(loss_weight=3.0, max_ratio=0.5)
    same = images(0.4)
    assert loss(same, same, noises(0.0), noises(1.0)).item() == 0
    value = loss(images(0.0), images(1.0), noises(1.0), noises(1.0))
    assert value.item() == pytest.approx(-1.5)


@pytest.mark.parametrize('share, batch, want', [(0.25, 4, 1), (0.25, 1, 1), (0.5, 5, 3), (1, 4, 4)])
def test_share_of_the_batch_is_rounded_up(share, batch, want):
    assert SLNPModeSeekingLoss(share=share).num_pairs(batch) == want


@pytest.mark.parametrize(
    'options, text',
    [
        (dict(loss_weight=-1.0), r'loss_weight must be >= 0, but got -1\.0'),
        (dict(max_ratio=0.0), r'max_ratio must be > 0, but got 0\.0'),
        (dict(share=0.0), r'share must be in \(0, 1\], but got 0\.0'),
        (dict(share=1.5), r'share must be in \(0, 1\], but got 1\.5'),
    ],
)
def test_bad_settings_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        SLNPModeSeekingLoss(**options)
