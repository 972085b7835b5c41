"""Stage 1: Eq. (13)-(15) on real instances, (16) and (17)."""

import math

import pytest
import torch
from torch.nn import functional as F

from slnp_mm.models import SLNPLocalRefiner

SIZE, REGIONS = 16, 4


def make(tools, **options):
    return SLNPLocalRefiner(
        tools.CLASSES,
        in_channels=6,
        code_channels=5,
        embed_channels=4,
        attention_channels=3,
        base_channels=8,
        num_blocks=1,
        num_regions=REGIONS,
        **options,
    ).double()


@pytest.fixture
def inputs(tools):
    ids, labels, label = tools.make_instances(SIZE)
    return dict(
        label=label,
        ids=ids,
        instance_labels=labels,
        features=torch.randn(2, 6, 8, 8, dtype=torch.float64),
        image=torch.rand(2, 3, 8, 8, dtype=torch.float64) * 2 - 1,
        codes=torch.randn(2, tools.SLOTS, 5, dtype=torch.float64),
    )


def spy(net, inputs, **options):
    """Run and keep what ``fuse``, ``down`` and ``encoder`` saw and gave."""
    seen = {}
    net.fuse.register_forward_pre_hook(lambda _, args: seen.update(fused=args[0]))
    net.down.register_forward_pre_hook(lambda _, args: seen.update(merged=args[0]))
    net.encoder.register_forward_hook(
        lambda _, args, out: seen.update(embedded=args[0], encoded=out)
    )
    seen['out'] = net(**inputs, **options)
    return seen


def naive_vectors(net, encoded, masks, labels, classes):
    """v'_i: class vector plus the mean of Enc(L_1) over the instance."""
    coarse = F.avg_pool2d(encoded, 2)
    batch, slots = labels.shape
    out = torch.zeros(batch, slots, 3, dtype=torch.float64)
    for b in range(batch):
        for i in range(slots):
            total = torch.zeros(len(coarse[b]), dtype=torch.float64)
            pixels = masks[b, i].nonzero().tolist()
            for row, col in pixels:
                total += coarse[b, :, row // 4, col // 4]
            k = int(labels[b, i]) if labels[b, i] >= 0 else classes
            out[b, i] = net.class_vector.weight[k] + net.instance_fc(total / max(len(pixels), 1))
    return out


def naive_detail(net, image, vectors, masks, labels):
    """Eq. (13)-(15): weights, contexts and V at every fourth pixel."""
    regions = F.adaptive_avg_pool2d(net.region_encoder(image), REGIONS)
    side = SIZE // REGIONS
    batch, slots, depth = vectors.shape
    weights = torch.zeros(batch, REGIONS**2, slots, dtype=torch.float64)
    detail = torch.zeros(batch, depth, 4, 4, dtype=torch.float64)
    for b in range(batch):
        context = []
        for j in range(REGIONS**2):
            region = regions[b, :, j // REGIONS, j % REGIONS]
            for i in range(slots):
                if labels[b, i] >= 0:
                    weights[b, j, i] = math.exp((region @ vectors[b, i]).item())
            weights[b, j] /= weights[b, j].sum()
            context.append(sum(weights[b, j, i] * vectors[b, i] for i in range(slots)))
        own = []
        for i in range(slots):
            covered = {
                row // side * REGIONS + col // side for row, col in masks[b, i].nonzero().tolist()
            }
            own.append(sum(context[j] for j in covered) / len(covered) if covered else None)
        for row in range(4):
            for col in range(4):
                here = [own[i] for i in range(slots) if masks[b, i, row * 4, col * 4]]
                if here:
                    detail[b, :, row, col] = torch.stack(here).amax(0)
    return weights, detail


def test_detail_map_and_weights_match_loop(inputs, tools):
    net = make(tools)
    seen = spy(net, inputs, return_attention=True)
    masks = tools.naive_masks(inputs['ids'], tools.SLOTS)
    labels = inputs['instance_labels']
    vectors = naive_vectors(net, seen['encoded'], masks, labels, tools.CLASSES)
    weights, detail = naive_detail(net, inputs['image'], vectors, masks, labels)
    torch.testing.assert_close(seen['out'][2], weights)
    wide = seen['fused'].shape[1] - 3 - 4
    torch.testing.assert_close(seen['fused'][:, wide : wide + 3], detail)


def test_without_attention_an_instance_keeps_its_own_vector(inputs, tools):
    net = make(tools, attention=False)
    seen = spy(net, inputs, return_attention=True)
    masks = tools.naive_masks(inputs['ids'], tools.SLOTS)
    vectors = naive_vectors(net, seen['encoded'], masks, inputs['instance_labels'], tools.CLASSES)
    wide = seen['fused'].shape[1] - 3 - 4
    detail = seen['fused'][:, wide : wide + 3]
    for row in range(4):
        for col in range(4):
            for b in range(2):
                here = masks[b, :, row * 4, col * 4]
                want = (
                    vectors[b, here].amax(0) if here.any() else torch.zeros(3, dtype=torch.float64)
                )
                torch.testing.assert_close(detail[b, :, row, col], want)
    assert seen['out'][2] is None
    assert not hasattr(net, 'region_encoder')


def test_f1_gets_sum_of_features_and_label_and_mu1(inputs, tools):
    """Eq. (16): y_0 + Enc(L_1), and mu_1 as the mean class vector."""
    net = make(tools)
    seen = spy(net, inputs)
    assert seen['merged'].equal(inputs['features'] + seen['encoded'])
    label = inputs['label']
    index = torch.where(label == 255, tools.CLASSES, label)
    vectors = net.embedding.weight[index]
    for row in range(4):
        for col in range(4):
            mu = vectors[:, row * 4 : row * 4 + 4, col * 4 : col * 4 + 4].mean((1, 2))
            torch.testing.assert_close(seen['fused'][:, -4:, row, col], mu)


def test_image_is_tanh_of_a_convolution_of_y1(inputs, tools):
    """Eq. (17), one pixel of the inside and one corner."""
    net = make(tools)
    y, image, _ = net(**inputs)
    padded = F.pad(y, (1, 1, 1, 1))
    for row, col in ((0, 0), (7, 9)):
        patch = padded[:, None, :, row : row + 3, col : col + 3]
        value = (patch * net.to_rgb.weight).sum((2, 3, 4)) + net.to_rgb.bias
        torch.testing.assert_close(image[:, :, row, col], value.tanh())


def test_weights_are_not_made_unless_asked_for(inputs, tools, monkeypatch):
    from slnp_mm.models.generators import slnp_local_refiner as module

    def refuse(*_):
        raise AssertionError('explicit weights were computed')

    monkeypatch.setattr(module, 'attention_weights', refuse)
    net = make(tools)
    assert net(**inputs)[2] is None
    with pytest.raises(AssertionError):
        net(**inputs, return_attention=True)


def test_output_has_twice_the_size(inputs, tools):
    y, image, _ = make(tools)(**inputs)
    assert y.shape == (2, 8, SIZE, SIZE)
    assert image.shape == (2, 3, SIZE, SIZE) and image.abs().max() <= 1
