"""Scores, scorers and reports."""

from .metrics import (SLNPDiversity, SLNPFID, SLNPScorerFrechet,
                      SLNPSegMetric)

__all__ = ['SLNPDiversity', 'SLNPFID', 'SLNPScorerFrechet', 'SLNPSegMetric']
