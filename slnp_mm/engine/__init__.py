"""Optimizers, hooks and the log's line."""

from .hooks import (
    SLNPCheckpointHook,
    SLNPPreflightHook,
    SLNPPriorHook,
    SLNPReportHook,
    SLNPVisualizationHook,
    SLNPWatchHook,
)
from .log_processor import SLNPLogProcessor
from .optimizers import AMM

__all__ = [
    'AMM',
    'SLNPCheckpointHook',
    'SLNPLogProcessor',
    'SLNPPreflightHook',
    'SLNPPriorHook',
    'SLNPReportHook',
    'SLNPVisualizationHook',
    'SLNPWatchHook',
]
