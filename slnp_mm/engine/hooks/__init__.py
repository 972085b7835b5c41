"""Hooks of mmengine's runner."""

from .slnp_visualization_hook import SLNPVisualizationHook, sample_row

__all__ = ['SLNPVisualizationHook', 'sample_row']
