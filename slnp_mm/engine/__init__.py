"""Optimizers and hooks."""
from .hooks import SLNPVisualizationHook
from .optimizers import AMM

__all__ = ['AMM', 'SLNPVisualizationHook']
