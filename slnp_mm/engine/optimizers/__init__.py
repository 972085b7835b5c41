"""Optimizers."""

from .amm import AMM

__all__ = ['AMM']
