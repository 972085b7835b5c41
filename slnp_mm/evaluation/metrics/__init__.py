"""Thin registered metrics: collect, call functional, name the result."""

from .feature_metric import SLNPFID, SLNPScorerFrechet
from .slnp_diversity import SLNPDiversity
from .slnp_seg_metric import SLNPSegMetric

__all__ = ['SLNPDiversity', 'SLNPFID', 'SLNPScorerFrechet', 'SLNPSegMetric']
