"""Variational autoencoders."""

from .noise_prior_vae import NoisePriorVAE, active_share
from .prior_checkpoint import load_prior

__all__ = ['NoisePriorVAE', 'active_share', 'load_prior']
