"""Optimizers."""

from .amm import AMM
from .slnp_bf16_optim_wrapper import SLNPBF16OptimWrapper

__all__ = ['AMM', 'SLNPBF16OptimWrapper']
