"""Discriminators."""

from .slnp_discriminator import DiscriminatorOutput, SLNPDiscriminator
from .slnp_pretrained_discriminator import SLNPPretrainedDiscriminator
from .stage_discriminators import StageDiscriminators

__all__ = [
    'DiscriminatorOutput',
    'SLNPDiscriminator',
    'SLNPPretrainedDiscriminator',
    'StageDiscriminators',
]
