import pytest
import torch
from torch.nn import functional as F

from slnp_mm.models.layers import LabelEmbedding


def test_lookup_equals_convolution_of_one_hot_map(tools):
    _, _, index = tools.make_instances(8)
    assert (index == tools.CLASSES).any()
    embedding = LabelEmbedding(tools.CLASSES, 3).double()
    one_hot = F.one_hot(index, tools.CLASSES + 1).permute(0, 3, 1, 2).double()
    want = F.conv2d(one_hot, embedding.weight.T[..., None, None])
    torch.testing.assert_close(embedding(index), want)


@pytest.mark.parametrize('grid', [(2, 2), (4, 8), (1, 1)])
def test_pooled_vectors_are_the_average_of_the_map(grid, tools):
    _, _, index = tools.make_instances(8)
    embedding = LabelEmbedding(tools.CLASSES, 3).double()
    want = F.adaptive_avg_pool2d(embedding(index), grid)
    torch.testing.assert_close(embedding.pooled(index, grid), want, rtol=1e-6, atol=1e-6)


def test_list_of_classes_gives_one_vector_each():
    embedding = LabelEmbedding(5, 3)
    classes = torch.tensor([[0, 5]])
    assert embedding(classes)[0, 1].equal(embedding.weight[5])


def test_weights_of_another_class_count_are_refused():
    stored = LabelEmbedding(11, 3).state_dict()
    with pytest.raises(
        ValueError,
        match='Expected a checkpoint of 5 classes '
        r'as in this config, but it holds 11 \("weight"\)',
    ):
        LabelEmbedding(5, 3).load_state_dict(stored)
