"""Plain arithmetic on arrays: no models, no registry, no files."""

from .class_map import build_class_map, map_label
from .distances import (
    feature_statistics,
    frechet_distance,
    kernel_distance,
    pairwise_diversity,
    polynomial_mmd,
    precision_recall,
)
from .grid import colour_attention, colour_label, make_grid
from .images import RESIZE_FILTERS, check_filter, resize_image, resize_label, to_uint8
from .instance_color import instance_colors, instance_diversity

__all__ = [
    'RESIZE_FILTERS',
    'build_class_map',
    'check_filter',
    'colour_attention',
    'colour_label',
    'feature_statistics',
    'frechet_distance',
    'instance_colors',
    'instance_diversity',
    'kernel_distance',
    'make_grid',
    'map_label',
    'pairwise_diversity',
    'polynomial_mmd',
    'precision_recall',
    'resize_image',
    'resize_label',
    'to_uint8',
]
