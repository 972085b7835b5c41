"""Stage 1: Eq. (13)-(15) on real instances, (16) and (17)."""

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


def naive_vectors(net, encoded, masks, labels, tools):
    """v'_i: class vector plus the mean of Enc(L_1) over the instance."""
    counts = tools.naive_counts(masks, 4, 4)
    sums = counts @ F.avg_pool2d(encoded, 2).flatten(2).mT
    mean = sums / counts.sum(2, keepdim=True).clamp(min=1)
    classes = torch.where(labels < 0, tools.CLASSES, labels)
    return net.class_vector.weight[classes] + net.instance_fc(mean)


def detail_map(seen):
    """V, which is between the merged features and mu_1."""
    return seen['fused'][:, -3 - 4 : -4]


def test_detail_map_and_weights_match_the_equations(inputs, tools):
    """Eq. (13)-(15), V at every fourth pixel."""
    net = make(tools)
    seen = spy(net, inputs, return_attention=True)
    masks = tools.naive_masks(inputs['ids'], tools.SLOTS)
    labels = inputs['instance_labels']
    vectors = naive_vectors(net, seen['encoded'], masks, labels, tools)
    regions = F.adaptive_avg_pool2d(net.region_encoder(inputs['image']), REGIONS).flatten(2).mT
    weights = tools.naive_weights(regions, vectors, labels >= 0)
    torch.testing.assert_close(seen['out'][2], weights)
    cover = tools.naive_counts(masks, REGIONS, REGIONS) > 0
    own = tools.naive_instance_context(weights @ vectors, cover)
    torch.testing.assert_close(detail_map(seen), tools.naive_place(own, masks[..., ::4, ::4]))


def test_without_attention_an_instance_keeps_its_own_vector(inputs, tools):
    net = make(tools, attention=False)
    seen = spy(net, inputs, return_attention=True)
    masks = tools.naive_masks(inputs['ids'], tools.SLOTS)
    vectors = naive_vectors(net, seen['encoded'], masks, inputs['instance_labels'], tools)
    torch.testing.assert_close(detail_map(seen), tools.naive_place(vectors, masks[..., ::4, ::4]))
    assert seen['out'][2] is None and net(**inputs)[2] is None
    assert not hasattr(net, 'region_encoder')


def test_f1_gets_sum_of_features_and_label_and_mu1(inputs, tools):
    """Eq. (16): y_0 + Enc(L_1), and mu_1 as the mean class vector."""
    net = make(tools)
    seen = spy(net, inputs)
    assert seen['merged'].equal(inputs['features'] + seen['encoded'])
    mu = F.avg_pool2d(net.embedding.weight[inputs['label']].permute(0, 3, 1, 2), 4)
    torch.testing.assert_close(seen['fused'][:, -4:], mu)


def test_image_is_tanh_of_a_convolution_of_y1(inputs, tools):
    """Eq. (17)."""
    net = make(tools)
    y, image, _ = net(**inputs)
    want = F.conv2d(y, net.to_rgb.weight, net.to_rgb.bias, padding=1).tanh()
    torch.testing.assert_close(image, want)


def test_output_has_twice_the_size(inputs, tools):
    y, image, _ = make(tools)(**inputs)
    assert y.shape == (2, 8, SIZE, SIZE)
    assert image.shape == (2, 3, SIZE, SIZE) and image.abs().max() <= 1
