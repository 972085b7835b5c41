"""SLNP-GAN for mmagic: images from semantic labels with a noise prior.

Importing the package registers its classes in mmagic's registries.
"""
from . import datasets, engine, evaluation, models, utils
from .version import __version__

__all__ = [
    '__version__', 'datasets', 'engine', 'evaluation', 'models', 'utils'
]
