"""Variational autoencoders."""

from .noise_prior_vae import NoisePriorVAE, active_share

__all__ = ['NoisePriorVAE', 'active_share']
