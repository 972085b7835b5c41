"""Hooks of mmengine's runner."""

from .slnp_preflight_hook import SLNPPreflightHook
from .slnp_prior_hook import SLNPPriorHook
from .slnp_report_hook import SLNPReportHook
from .slnp_visualization_hook import SLNPVisualizationHook, sample_row

__all__ = [
    'SLNPPreflightHook',
    'SLNPPriorHook',
    'SLNPReportHook',
    'SLNPVisualizationHook',
    'sample_row',
]
