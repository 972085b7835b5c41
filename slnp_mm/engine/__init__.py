"""Optimizers, hooks and the log processor."""

from .cuda_graph import SLNPCUDAGraphHook
from .hooks import (
    SLNPCheckpointHook,
    SLNPPreflightHook,
    SLNPPriorHook,
    SLNPReportHook,
    SLNPVisualizationHook,
    SLNPWatchHook,
)
from .log_processor import SLNPLogProcessor
from .optimizers import AMM, SLNPBF16OptimWrapper

__all__ = [
    'AMM',
    'SLNPBF16OptimWrapper',
    'SLNPCUDAGraphHook',
    'SLNPCheckpointHook',
    'SLNPLogProcessor',
    'SLNPPreflightHook',
    'SLNPPriorHook',
    'SLNPReportHook',
    'SLNPVisualizationHook',
    'SLNPWatchHook',
]
