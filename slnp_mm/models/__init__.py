"""Networks, losses and the training step."""

from .discriminators import *  # noqa: F403
from .generators import *  # noqa: F403
from .losses import *  # noqa: F403
from .slnp_data_preprocessor import SLNPDataPreprocessor as SLNPDataPreprocessor
from .slnp_ema import SLNPRampUpEMA as SLNPRampUpEMA
from .slnp_gan import SLNPGAN as SLNPGAN
from .vaes import *  # noqa: F403
