"""Optimizers and hooks."""

from .hooks import SLNPPriorHook, SLNPReportHook, SLNPVisualizationHook
from .optimizers import AMM

__all__ = ['AMM', 'SLNPPriorHook', 'SLNPReportHook', 'SLNPVisualizationHook']
