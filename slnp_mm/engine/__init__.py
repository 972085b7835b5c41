"""Optimizers and hooks."""

from .hooks import SLNPReportHook, SLNPVisualizationHook
from .optimizers import AMM

__all__ = ['AMM', 'SLNPReportHook', 'SLNPVisualizationHook']
