"""Variational autoencoders."""

from .noise_prior_vae import NoisePriorVAE

__all__ = ['NoisePriorVAE']
