"""Optimizers and hooks."""
from .optimizers import AMM

__all__ = ['AMM']
