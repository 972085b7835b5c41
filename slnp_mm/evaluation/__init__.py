"""Scores, scorers and reports."""

from .metrics import SLNPSegMetric

__all__ = ['SLNPSegMetric']
