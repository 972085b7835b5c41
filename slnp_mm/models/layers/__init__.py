"""Blocks used by at least two networks."""

from .blocks import (
    InstanceModulation,
    ModulationTables,
    ResBlock,
    apply_blocks,
    down_block,
    group_norm,
    upsample,
)
from .efficientnet_lite import lite_state_dict
from .instances import (
    gather_vectors,
    label_map,
    pool_mean,
    pool_noise,
    region_counts,
    stride_ids,
    table_rows,
    vector_table,
)
from .label_embedding import LabelEmbedding
from .region_attention import attend, attention_weights, instance_context

__all__ = [
    'InstanceModulation',
    'LabelEmbedding',
    'ModulationTables',
    'ResBlock',
    'apply_blocks',
    'attend',
    'attention_weights',
    'down_block',
    'gather_vectors',
    'group_norm',
    'instance_context',
    'label_map',
    'lite_state_dict',
    'pool_mean',
    'pool_noise',
    'region_counts',
    'stride_ids',
    'table_rows',
    'upsample',
    'vector_table',
]
