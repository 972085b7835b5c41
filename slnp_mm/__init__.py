"""SLNP-GAN for mmagic: images from semantic labels with a noise prior.

Importing the package registers its classes in mmagic's registries.
"""

import warnings

with warnings.catch_warnings():
    # mmagic 1.2 imports names that diffusers 0.28 has marked as moved.
    warnings.simplefilter('ignore', FutureWarning)
    from . import datasets, engine, evaluation, models
from .checkpoint import allow_checkpoint_globals
from .version import __version__

# mmengine's own `torch.load` then resumes its checkpoints
allow_checkpoint_globals()

__all__ = [
    '__version__',
    'datasets',
    'engine',
    'evaluation',
    'models',
]
