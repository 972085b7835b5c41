"""Optimizers and hooks."""

from .hooks import SLNPPreflightHook, SLNPPriorHook, SLNPReportHook, SLNPVisualizationHook
from .optimizers import AMM

__all__ = [
    'AMM',
    'SLNPPreflightHook',
    'SLNPPriorHook',
    'SLNPReportHook',
    'SLNPVisualizationHook',
]
