"""Generators."""

from .slnp_generator import SLNPGenerator
from .slnp_global_generator import SLNPGlobalGenerator
from .slnp_local_refiner import SLNPLocalRefiner

__all__ = ['SLNPGenerator', 'SLNPGlobalGenerator', 'SLNPLocalRefiner']
