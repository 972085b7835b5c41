"""Cross entropy over C classes and 'generated', by hand."""

import math

import pytest
import torch

from slnp_mm.models import SLNPSegmentationGANLoss


@pytest.fixture
def scene():
    """Logits (1, 4, 1, 4) of three classes and 'generated'; class 2 is absent."""
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 4, 1, 4, generator=rng, dtype=torch.float64)
    return logits, torch.tensor([[[0, 0, 1, 255]]])


def nats(logits, pixel, target):
    values = [math.exp(float(x)) for x in logits[0, :, 0, pixel]]
    return -math.log(values[target] / sum(values))


def test_generated_pixels_are_the_last_class(scene):
    logits, label = scene
    want = sum(nats(logits, pixel, 3) for pixel in range(4)) / 4
    value = SLNPSegmentationGANLoss()(logits, target_is_real=False, is_disc=True, label=label)
    assert value.item() == pytest.approx(want)


@pytest.mark.parametrize('is_disc', [True, False])
def test_each_class_present_weighs_alike(scene, is_disc):
    """Two pixels of class 0 weigh as one of class 1; the unlabelled one nothing."""
    logits, label = scene
    zero = (nats(logits, 0, 0) + nats(logits, 1, 0)) / 2
    want = (zero + nats(logits, 2, 1)) / 2
    value = SLNPSegmentationGANLoss()(logits, target_is_real=True, is_disc=is_disc, label=label)
    assert value.item() == pytest.approx(want)


def test_undecided_costs_the_log_of_the_number_of_classes(scene):
    value = SLNPSegmentationGANLoss()(scene[0] * 0, True, True, scene[1])
    assert value.item() == pytest.approx(math.log(4))


def test_finer_labels_are_taken_at_every_second_pixel(scene):
    logits, label = scene
    fine = label.repeat_interleave(2, 1).repeat_interleave(2, 2)
    loss = SLNPSegmentationGANLoss()
    assert loss(logits, True, True, fine).equal(loss(logits, True, True, label))


def test_all_unlabelled_is_zero(scene):
    label = torch.full((1, 1, 4), 255)
    assert SLNPSegmentationGANLoss()(scene[0], True, True, label).item() == 0


def test_probability_is_all_but_generated(scene):
    logits = scene[0]
    want = 0.0
    for pixel in range(4):
        want += 1 - math.exp(-nats(logits, pixel, 3))
    assert SLNPSegmentationGANLoss().probability(logits).item() == pytest.approx(want / 4)
