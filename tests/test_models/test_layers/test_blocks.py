import pytest
import torch
from torch.nn import functional as F

from slnp_mm.models.layers import (
    ModulationTables,
    ResBlock,
    apply_blocks,
    down_block,
    gather_vectors,
    group_norm,
    table_rows,
    upsample,
)


@pytest.mark.parametrize('channels, groups', [(64, 4), (48, 3), (8, 1), (35, 1), (40, 2)])
def test_groups_divide_the_channels(channels, groups):
    assert group_norm(channels).num_groups == groups


def modulated_blocks(tools, overlap=1):
    """Blocks of two resolutions in float64, codes and rows of 8 x 8 pixels."""
    groups = [[ResBlock(4, 6, 3), ResBlock(6, 4, 3)], [ResBlock(4, 2, 3)]]
    for block in (block for blocks in groups for block in blocks):
        block.double()
        for norm in (block.norm0, block.norm1):
            torch.nn.init.normal_(norm.affine.bias)
    codes = torch.randn(2, tools.SLOTS, 3, dtype=torch.float64)
    ids, _, _ = tools.make_instances(8, overlap)
    return groups, ModulationTables(groups).double(), codes, ids


def test_modulation_matches_loop(tools):
    """Normalised features times (1 + gamma_i) plus beta_i, per pixel."""
    groups, tables, codes, ids = modulated_blocks(tools)
    layer = groups[0][0].norm1
    x = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    table = tables(groups, codes)[0]
    maps = gather_vectors(table, table_rows(ids, tools.SLOTS)).split([4, 4, 6, 6, 6, 6, 4, 4], 1)
    found = layer(x, *maps[2:4])
    for b in range(2):
        scale = (x[b].var(unbiased=False) + 1e-5).sqrt()
        normed = (x[b] - x[b].mean()) / scale
        for row in range(8):
            for col in range(8):
                want = normed[:, row, col]
                i = int(ids[b, 0, row, col])
                if i >= 0:
                    affine = layer.affine.weight @ codes[b, i] + layer.affine.bias
                    want = want * (1 + affine[:6]) + affine[6:]
                torch.testing.assert_close(found[b, :, row, col], want)


@pytest.mark.parametrize('with_cp', [False, True])
def test_one_table_a_resolution_equals_a_map_of_codes_under_every_norm(with_cp, tools):
    """SPADE's form: 1 x 1 convolutions over the map of codes; no code where no instance is."""
    groups, tables, codes, ids = modulated_blocks(tools)
    masks = tools.naive_masks(ids, tools.SLOTS)
    code_map = tools.naive_place(codes, masks)
    covered = masks.any(1, keepdim=True)
    found = want = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    for blocks, table in zip(groups, tables(groups, codes)):
        for block in blocks:
            block.with_cp = with_cp
        found = apply_blocks(blocks, found, table, table_rows(ids, tools.SLOTS))
        for block in blocks:
            y = want
            for norm, conv in ((block.norm0, block.conv0), (block.norm1, block.conv1)):
                weight = norm.affine.weight[..., None, None]
                affine = F.conv2d(code_map, weight, norm.affine.bias) * covered
                scale, shift = affine.chunk(2, 1)
                y = norm.norm(y) * (1 + scale) + shift
                y = F.conv2d(F.leaky_relu(y, 0.2), conv.weight, conv.bias, padding=1)
            want = block.skip(want) + y
    torch.testing.assert_close(found, want)
    weights = [norm.affine.weight for b in groups[0] for norm in (b.norm0, b.norm1)]
    draws = torch.randn_like(want)
    grads = [torch.autograd.grad((image * draws).sum(), weights) for image in (found, want)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize('out', [4, 6])
def test_residual_block_is_skip_plus_two_convolutions(out):
    block = ResBlock(4, out).double()
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64)
    y = x
    for norm, conv in ((block.norm0, block.conv0), (block.norm1, block.conv1)):
        y = F.leaky_relu(F.group_norm(y, 1, norm.weight, norm.bias), 0.2)
        y = F.conv2d(y, conv.weight, conv.bias, padding=1)
    skip = x if out == 4 else F.conv2d(x, block.skip.weight)
    torch.testing.assert_close(block(x), skip + y)


def test_down_block_halves():
    assert down_block(3, 8)(torch.randn(1, 3, 8, 12)).shape == (1, 8, 4, 6)
    assert len(down_block(3, 8, norm=False)) == 2


def test_upsample_is_bilinear():
    x = torch.tensor([[[[1.0, 2.0]]]])
    assert upsample(x)[0, 0].tolist() == [[1, 1.25, 1.75, 2]] * 2
