"""ToyScenes, a data set of drawn scenes."""

from .draw import draw_scene
from .palette import CLASSES, PALETTE
from .slnp_toyscenes import SLNPToyScenes
from .write import write_toyscenes

__all__ = ['CLASSES', 'PALETTE', 'SLNPToyScenes', 'draw_scene', 'write_toyscenes']
