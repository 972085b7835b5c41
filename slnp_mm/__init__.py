"""SLNP-GAN for mmagic: images from semantic labels with a noise prior.

Importing the package registers its classes in mmagic's registries.
"""

import warnings

from mmengine.config.utils import MODULE2PACKAGE

from .mmcv_ops import provide_operators

provide_operators()

from mmagic.registry import MODELS  # noqa: E402

from . import datasets, engine, errors, evaluation  # noqa: E402
from .checkpoint import allow_checkpoint_globals  # noqa: E402
from .version import __version__  # noqa: E402

# mmagic 1.2 imports names that diffusers 0.28 has marked as moved.
warnings.filterwarnings('ignore', category=FutureWarning, module='diffusers')

# A registry imports its `locations` when a name is looked up. mmagic's own networks, and with them
# diffusers and transformers, come in that way, which takes seconds; so do ours, which need them.
# If the others are there already, the next look-up goes through the list again.
MODELS._locations.append('slnp_mm.models')
MODELS._imported = False

# Configs may then be based on `slnp_mm::configs/...`. mmengine looks beside a package's folder for
# `.mim`; an editable install has none in site-packages, but the folder of a module is always known.
MODULE2PACKAGE['slnp_mm'] = 'slnp_mm.registry'

# mmengine's own `torch.load` then resumes its checkpoints
allow_checkpoint_globals()

__all__ = ['__version__', 'datasets', 'engine', 'errors', 'evaluation', 'models']
