"""Scores, scorers and reports."""

from .metrics import SLNPFID, SLNPScorerFrechet, SLNPSegMetric

__all__ = ['SLNPFID', 'SLNPScorerFrechet', 'SLNPSegMetric']
