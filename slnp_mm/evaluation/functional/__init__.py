"""Plain arithmetic on arrays: no models, no registry, no files."""

from .class_map import build_class_map, map_label
from .images import (RESIZE_FILTERS, check_filter, resize_image, resize_label,
                     to_uint8)

__all__ = [
    'RESIZE_FILTERS', 'build_class_map', 'check_filter', 'map_label',
    'resize_image', 'resize_label', 'to_uint8'
]
