"""Stage 0: what is joined, Eq. (8), and the last convolution, Eq. (9)."""

import pytest
import torch

from slnp_mm.models import SLNPGlobalGenerator
from slnp_mm.models.generators.slnp_global_generator import resize_noise

SIZE, CELL = 16, 4


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


def naive_conv(x, weight, bias):
    """3x3 convolution with zero padding, by loops."""
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    out = torch.zeros(len(x), len(weight), *x.shape[2:], dtype=x.dtype)
    for row in range(x.shape[2]):
        for col in range(x.shape[3]):
            patch = padded[:, :, row : row + 3, col : col + 3]
            out[:, :, row, col] = (patch[:, None] * weight[None]).sum((2, 3, 4)) + bias
    return out


def test_image_is_tanh_of_a_convolution_of_y0(scene):
    net, _, seen = scene
    want = naive_conv(seen['y'], net.to_rgb.weight, net.to_rgb.bias).tanh()
    torch.testing.assert_close(seen['image'], want)


def test_residual_blocks_get_label_map_mu_noise_and_codes(scene, tools):
    """M, mu_0, Z_np and codes on the coarse grid, each by a loop."""
    net, (label, ids, labels, noise), seen = scene
    masks = tools.naive_masks(ids, tools.SLOTS)
    index = torch.where(label == 255, tools.CLASSES, label)
    vectors = net.embedding.weight[index]  # (B, H, W, D)
    codes = seen['codes']
    parts = seen['fused'].split([net.encoder[-1][0].out_channels, tools.CLASSES, 4, 3, 6], 1)
    for row in range(SIZE // CELL):
        for col in range(SIZE // CELL):
            rows = slice(row * CELL, row * CELL + CELL)
            cols = slice(col * CELL, col * CELL + CELL)
            for b in range(2):
                found = [part[b, :, row, col] for part in parts]
                in_cell = masks[b, :, rows, cols].flatten(1).any(1)
                m = torch.zeros(tools.CLASSES, dtype=torch.float64)
                for i in in_cell.nonzero().flatten():
                    m[labels[b, i]] = 1
                assert found[1].equal(m)
                mu = vectors[b, rows, cols].mean((0, 1))
                torch.testing.assert_close(found[2], mu)
                assert found[3].equal(noise[b, :, row // 2, col // 2])
                here = masks[b, :, row * CELL, col * CELL]
                code = codes[b, here].amax(0) if here.any() else torch.zeros(6, dtype=torch.float64)
                torch.testing.assert_close(found[4], code)


def test_codes_join_class_global_vector_and_noise(scene, tools):
    net, (label, ids, labels, noise), seen = scene
    masks = tools.naive_masks(ids, tools.SLOTS)
    encoded = seen['fused'][:, : net.encoder[-1][0].out_channels]
    for b in range(2):
        cells = encoded[b].flatten(1)
        mean = sum(cells[:, j] for j in range(cells.shape[1])) / cells.shape[1]
        global_vector = net.global_fc.weight @ mean + net.global_fc.bias
        for i in range(tools.SLOTS):
            total = torch.zeros(3, dtype=torch.float64)
            square = 0.0
            for row in range(4):
                for col in range(4):
                    count = int(masks[b, i, row * 4 : row * 4 + 4, col * 4 : col * 4 + 4].sum())
                    total += count * noise[b, :, row // 2, col // 2]
                    square += count**2
            pooled = total / max(square**0.5, 1e-6)
            k = labels[b, i] if labels[b, i] >= 0 else tools.CLASSES
            want = (
                net.class_code.weight[k]
                + global_vector
                + net.noise_fc.weight @ pooled
                + net.noise_fc.bias
            )
            torch.testing.assert_close(seen['codes'][b, i], want)


@pytest.mark.parametrize('kind', ['white', 'code'])
def test_resampled_instance_takes_other_noise_and_no_other_code_moves(scene, tools, kind):
    net, (label, ids, labels, noise), _ = scene
    net.noise_kind = kind
    other = torch.randn_like(noise)
    both = [net.encode(label.clamp(max=tools.CLASSES), ids, labels, x) for x in (noise, other)]
    _, codes, _ = net.encode(label.clamp(max=tools.CLASSES), ids, labels, noise, {1: other})
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
