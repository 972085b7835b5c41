"""Metrics, scorers and reports."""

from .metrics.feature_metric import SLNPFID, SLNPScorerFrechet
from .metrics.slnp_diversity import SLNPDiversity
from .metrics.slnp_prior_metric import SLNPPriorMetric
from .metrics.slnp_seg_metric import SLNPSegMetric

__all__ = ['SLNPDiversity', 'SLNPFID', 'SLNPPriorMetric', 'SLNPScorerFrechet', 'SLNPSegMetric']
