"""Stage 0: what is joined, Eq. (8), and the last convolution, Eq. (9)."""

import pytest
import torch
from torch.nn import functional as F

from slnp_mm.models import SLNPGlobalGenerator
from slnp_mm.models.generators.slnp_global_generator import resize_noise
from slnp_mm.models.layers import table_rows

SIZE, CELL, GRID = 16, 4, (4, 4)


@pytest.fixture
def scene(tools):
    """Network in float64, its inputs and what the hooks saw."""
    ids, labels, label = tools.make_instances(SIZE)
    net = SLNPGlobalGenerator(
        tools.CLASSES,
        noise_channels=3,
        embed_channels=4,
        code_channels=6,
        base_channels=8,
        max_channels=16,
        num_downs=2,
        num_blocks=1,
    ).double()
    noise = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    seen = {}
    net.fuse.register_forward_pre_hook(lambda _, args: seen.update(fused=args[0]))
    y, image, codes = net(label, ids, labels, noise)
    seen.update(y=y, image=image, codes=codes)
    return net, (label, ids, labels, noise), seen


def test_image_is_tanh_of_a_convolution_of_y0(scene):
    net, _, seen = scene
    want = F.conv2d(seen['y'], net.to_rgb.weight, net.to_rgb.bias, padding=1).tanh()
    torch.testing.assert_close(seen['image'], want)


def spread(noise):
    """Noise of 2 x 2 cells on the grid."""
    return noise.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_residual_blocks_get_label_map_mu_noise_and_codes(scene, tools):
    """M, mu_0, Z_np and codes on the coarse grid."""
    net, (label, ids, labels, noise), seen = scene
    masks = tools.naive_masks(ids, tools.SLOTS)
    parts = seen['fused'].split([net.encoder[-1][0].out_channels, tools.CLASSES, 4, 3, 6], 1)
    assert parts[1].equal(tools.naive_label_map(masks, labels, GRID))
    vectors = net.embedding.weight[label]
    torch.testing.assert_close(parts[2], F.avg_pool2d(vectors.permute(0, 3, 1, 2), CELL))
    assert parts[3].equal(spread(noise))
    codes = tools.naive_place(seen['codes'], masks[..., ::CELL, ::CELL])
    torch.testing.assert_close(parts[4], codes)


def test_codes_join_class_global_vector_and_noise(scene, tools):
    net, (label, ids, labels, noise), seen = scene
    encoded = seen['fused'][:, : net.encoder[-1][0].out_channels]
    counts = tools.naive_counts(tools.naive_masks(ids, tools.SLOTS), *GRID)
    root = counts.square().sum(2, keepdim=True).sqrt()
    pooled = counts @ spread(noise).flatten(2).mT / root.clamp(min=1e-6)
    want = (
        net.class_code.weight[torch.where(labels < 0, tools.CLASSES, labels)]
        + net.global_fc(encoded.mean((2, 3)))[:, None]
        + net.noise_fc(pooled)
    )
    torch.testing.assert_close(seen['codes'], want)


@pytest.mark.parametrize('kind', ['white', 'code'])
def test_resampled_instance_takes_other_noise_and_no_other_code_moves(scene, tools, kind):
    net, (label, ids, labels, noise), _ = scene
    net.noise_kind = kind
    other = torch.randn_like(noise)
    maps = (label, ids, table_rows(ids[..., ::CELL, ::CELL], tools.SLOTS), labels)
    both = [net.encode(*maps, x) for x in (noise, other)]
    _, codes, _ = net.encode(*maps, noise, {1: other})
    assert codes[:, 1].equal(both[1][1][:, 1]) and not codes[:, 1].equal(both[0][1][:, 1])
    rest = [i for i in range(tools.SLOTS) if i != 1]
    assert codes[:, rest].equal(both[0][1][:, rest])


@pytest.mark.parametrize('size', [(16, 16), (24, 32)])
def test_shapes_for_two_sizes(scene, size, tools):
    net, _, _ = scene
    label = torch.zeros(1, *size, dtype=torch.int64)
    labels = torch.tensor([[0, -1]])
    noise = torch.randn(1, 3, 2, 2, dtype=torch.float64)
    y, image, codes = net(label, label[:, None], labels, noise)
    assert y.shape == (1, 8, *size) and image.shape == (1, 3, *size)
    assert codes.shape == (1, 2, 6)
    assert image.abs().max() <= 1


def test_coarse_noise_is_repeated():
    noise = torch.randn(1, 2, 2, 2)
    want = noise.repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert resize_noise(noise, (6, 6)).equal(want)


def test_fine_noise_is_averaged_and_keeps_its_variance():
    noise = torch.randn(8, 16, 32, 32)
    found = resize_noise(noise, (8, 8))
    want = noise.unflatten(3, (8, 4)).unflatten(2, (8, 4)).mean((3, 5)) * 4
    torch.testing.assert_close(found, want)
    assert found.var().item() == pytest.approx(1, abs=0.08)


def test_noise_of_the_same_grid_is_unchanged():
    noise = torch.randn(1, 2, 4, 4)
    assert resize_noise(noise, (4, 4)).equal(noise)
