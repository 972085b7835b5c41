"""Variational autoencoders."""

from .noise_prior_vae import NoisePriorVAE
from .prior_checkpoint import load_prior

__all__ = ['NoisePriorVAE', 'load_prior']
