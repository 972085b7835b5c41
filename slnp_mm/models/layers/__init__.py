"""Blocks used by at least two networks."""

from .blocks import InstanceModulation, ResBlock, down_block, group_norm, upsample
from .efficientnet_lite import lite_state_dict
from .instances import (
    class_layers,
    label_map,
    place,
    pool_mean,
    pool_noise,
    region_counts,
    stride_ids,
)
from .label_embedding import LabelEmbedding
from .region_attention import attend, attention_weights, instance_context

__all__ = [
    'InstanceModulation',
    'LabelEmbedding',
    'ResBlock',
    'attend',
    'attention_weights',
    'class_layers',
    'down_block',
    'group_norm',
    'instance_context',
    'label_map',
    'lite_state_dict',
    'place',
    'pool_mean',
    'pool_noise',
    'region_counts',
    'stride_ids',
    'upsample',
]
