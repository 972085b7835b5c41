"""Thin registered metrics: collect, call functional, name the result."""

from .slnp_seg_metric import SLNPSegMetric

__all__ = ['SLNPSegMetric']
