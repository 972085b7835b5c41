"""SLNP-GAN for mmagic: image synthesis from semantic label maps with a noise prior.

Importing the package registers its classes with mmagic.
"""

import warnings

from mmengine.config.utils import MODULE2PACKAGE

from .mmcv_ops import provide_operators

provide_operators()

from mmagic.registry import MODELS  # noqa: E402

from . import datasets, engine, errors, evaluation  # noqa: E402
from .checkpoint import allow_checkpoint_globals  # noqa: E402
from .version import __version__  # noqa: E402

# mmagic 1.2 imports names that diffusers 0.28 deprecates
warnings.filterwarnings('ignore', category=FutureWarning, module='diffusers')

# Import our networks on the first lookup in the registry, as mmagic does with its own: both take
# seconds because of diffusers and transformers. Clearing the flag makes the registry read the list
# again if mmagic's are already imported.
MODELS._locations.append('slnp_mm.models')
MODELS._imported = False

# Allow `_base_ = 'slnp_mm::configs/...'`. mmengine looks for `.mim` in a package's folder in
# site-packages, which an editable install lacks; naming a module gives the real folder.
MODULE2PACKAGE['slnp_mm'] = 'slnp_mm.registry'

# let mmengine's `torch.load` read checkpoints
allow_checkpoint_globals()

__all__ = ['__version__', 'datasets', 'engine', 'errors', 'evaluation', 'models']
