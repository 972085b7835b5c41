"""Discriminators."""

from .slnp_discriminator import DiscriminatorOutput, SLNPDiscriminator, StageDiscriminators
from .slnp_pretrained_discriminator import SLNPPretrainedDiscriminator

__all__ = [
    'DiscriminatorOutput',
    'SLNPDiscriminator',
    'SLNPPretrainedDiscriminator',
    'StageDiscriminators',
]
