"""Hooks for mmengine's runner."""

from .slnp_checkpoint_hook import SLNPCheckpointHook
from .slnp_preflight_hook import SLNPPreflightHook
from .slnp_prior_hook import SLNPPriorHook
from .slnp_report_hook import SLNPReportHook
from .slnp_visualization_hook import SLNPVisualizationHook, sample_row
from .slnp_watch_hook import SLNPWatchHook

__all__ = [
    'SLNPCheckpointHook',
    'SLNPPreflightHook',
    'SLNPPriorHook',
    'SLNPReportHook',
    'SLNPVisualizationHook',
    'SLNPWatchHook',
    'sample_row',
]
