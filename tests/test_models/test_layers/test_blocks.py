import pytest
import torch
from torch.nn import functional as F

from slnp_mm.models.layers import InstanceModulation, ResBlock, down_block, group_norm, upsample


@pytest.mark.parametrize('channels, groups', [(64, 4), (48, 3), (8, 1), (35, 1), (40, 2)])
def test_groups_divide_the_channels(channels, groups):
    assert group_norm(channels).num_groups == groups


def test_modulation_matches_loop(tools):
    """Normalised features times (1 + gamma_i) plus beta_i, per pixel."""
    ids, _, _ = tools.make_instances(8, overlap=1)
    layer = InstanceModulation(4, 3).double()
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    codes = torch.randn(2, tools.SLOTS, 3, dtype=torch.float64)
    found = layer(x, codes, ids)
    for b in range(2):
        scale = (x[b].var(unbiased=False) + 1e-5).sqrt()
        normed = (x[b] - x[b].mean()) / scale
        for row in range(8):
            for col in range(8):
                want = normed[:, row, col]
                i = int(ids[b, 0, row, col])
                if i >= 0:
                    affine = layer.affine.weight @ codes[b, i] + layer.affine.bias
                    want = want * (1 + affine[:4]) + affine[4:]
                torch.testing.assert_close(found[b, :, row, col], want)


@pytest.mark.parametrize('out', [4, 6])
def test_residual_block_is_skip_plus_two_convolutions(out):
    block = ResBlock(4, out).double()
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64)
    y = x
    for norm, conv in ((block.norm0, block.conv0), (block.norm1, block.conv1)):
        y = F.leaky_relu(F.group_norm(y, 1, norm.weight, norm.bias), 0.2)
        y = F.conv2d(y, conv.weight, conv.bias, padding=1)
    skip = x if out == 4 else F.conv2d(x, block.skip.weight)
    torch.testing.assert_close(block(x, None, None), skip + y)


def test_down_block_halves():
    assert down_block(3, 8)(torch.randn(1, 3, 8, 12)).shape == (1, 8, 4, 6)
    assert len(down_block(3, 8, norm=False)) == 2


def test_upsample_is_bilinear():
    x = torch.tensor([[[[1.0, 2.0]]]])
    assert upsample(x)[0, 0].tolist() == [[1, 1.25, 1.75, 2]] * 2
