"""Checks, error texts and checkpoint safety; nothing with a better home."""

from .checkpoint import (
    allow_checkpoint_globals,
    check_checkpoint,
    read_checkpoint,
)
from .errors import SLNPError, check_device, check_file, one_sentence

# Loading is made possible as soon as the plugin is imported, so that
# `--resume` works with mmengine's own `torch.load`.
allow_checkpoint_globals()

__all__ = [
    'SLNPError',
    'allow_checkpoint_globals',
    'check_checkpoint',
    'check_device',
    'check_file',
    'one_sentence',
    'read_checkpoint',
]
