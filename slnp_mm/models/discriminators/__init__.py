"""Discriminators."""

from .slnp_discriminator import (
    DiscriminatorOutput,
    SLNPDiscriminator,
    StageDiscriminators,
)

__all__ = ['DiscriminatorOutput', 'SLNPDiscriminator', 'StageDiscriminators']
