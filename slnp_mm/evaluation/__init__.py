"""Scores, scorers and reports."""

from .metrics import SLNPFID, SLNPDiversity, SLNPScorerFrechet, SLNPSegMetric

__all__ = ['SLNPDiversity', 'SLNPFID', 'SLNPScorerFrechet', 'SLNPSegMetric']
