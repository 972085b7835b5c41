"""One clear sentence for problems that the user can fix."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from numbers import Integral
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# the system refuses to write: a traceback would not help
_NO_WRITING = [
    getattr(errno, name)
    for name in 'EACCES EPERM EROFS ENOSPC EDQUOT EFBIG EEXIST ENOTDIR EISDIR'.split()
]
_WORKER = (
    'a data loading process was killed, most likely for lack of memory: lower num_workers or '
    'batch_size of the loader, or give the job more memory; in a container /dev/shm may be too '
    'small (docker run --shm-size=8g)'
)
# Errors of Python and other packages: part of their text, and what to do.
_KNOWN = {
    'DataLoader worker (pid': _WORKER,
    'unable to allocate shared memory': _WORKER,
    'CUDA out of memory': 'the GPU is out of memory: lower batch_size of train_dataloader or '
    'image_size of the data set, or end other programs on this GPU (nvidia-smi lists them)',
    'EADDRINUSE': 'another run uses this port: give torchrun another one (--master_port=29501)',
    'gloo/transport/tcp/pair': 'another process of this training has stopped: its message says why',
    'does not match meta information of the first dataset': 'the parts of a ConcatDataset have '
    'different classes or colors: give each the same metainfo=dict(classes=..., palette=...)',
    'Expected more than 1 value per channel': 'a batch norm of this network needs 2 images or more '
    'per batch: raise batch_size of train_dataloader, or set drop_last=True there',
    '__init__() got an unexpected keyword argument': '{error}: correct the key in the config; '
    'CHANGELOG.md lists the keys that were renamed or removed',
}


class SLNPError(ValueError):
    r"""A problem the user can fix, in one sentence; undecodable bytes become ``\xNN``.

    torch re-raises a data loader worker's error with the worker's traceback before the text; only
    the text is kept.
    """

    def __init__(self, text: str = '') -> None:
        text = str(text).rpartition(f'{__name__}.{type(self).__name__}: ')[2]
        super().__init__(text.encode(errors='backslashreplace').decode())


class DataError(SLNPError):
    """A problem with the user's data or its settings.

    Args:
        text (str): What was expected, what came, which file, what to do.
        kind (str): Heading under which the data check lists it.
    """

    def __init__(self, text: str = '', kind: str = 'data') -> None:
        super().__init__(text)
        self.kind = kind


class CorruptFileError(DataError):
    """A file cannot be read or decoded (truncated, damaged, not an image).

    ``skip_corrupt=True`` skips only this kind of error.
    """


def check_file(
    path: str | os.PathLike, what: str, remedy: str, there: Callable = os.path.isfile
) -> Path:
    """Return the path of a ``what`` that the user named; if missing, say the remedy."""
    if not there(path):
        raise SLNPError(f'no {what} at {path}: {remedy}')
    return Path(path)


def check_seed(seed: int, name: str = 'seed', count: int = 1) -> int:
    """Check a seed; the next ``count - 1`` seeds are used too.

    Raises:
        SLNPError: If it is not an integer >= 0, or one of them exceeds 2**32 - 1.
    """
    top = 2**32 - count
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed <= top:
        raise SLNPError(f'{name} must be a whole number from 0 to {top}, but got {seed!r}')
    return int(seed)


def check_device(device: str) -> str:
    """Check that the device, 'cpu', 'cuda', 'cuda:1', ..., is present."""
    import torch

    try:
        wanted = torch.device(device)
    except RuntimeError:
        wanted = None
    if wanted is None or wanted.type not in ('cpu', 'cuda'):
        raise SLNPError(f'the device must be cpu, cuda or cuda:N, but got {device!r}')
    if wanted.type == 'cpu':
        return device
    if not torch.cuda.is_available():
        raise SLNPError(
            f'{device} was asked for, but torch finds no CUDA device here: use the CPU (leave the '
            'option out), or install a driver and a torch that match the GPU'
        )
    count = torch.cuda.device_count()
    if (wanted.index or 0) >= count:
        raise SLNPError(
            f'{device} was asked for, but this machine has {count} CUDA '
            f'device(s), cuda:0 to cuda:{count - 1}'
        )
    return device


def one_sentence(error: BaseException) -> str | None:
    """The sentence of an error that the user can fix; None for a bug, which needs its traceback.

    Besides :class:`SLNPError`, these are write errors of the system and ``_KNOWN``, also as the
    cause or context of another error, as when torch reports a dead worker.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, SLNPError):
            return ' '.join(str(seen).split())
        if isinstance(seen, OSError) and seen.errno in _NO_WRITING:
            where = f' at {seen.filename}' if seen.filename else ''
            return (
                f'{seen.strerror}{where}: make room, fix the permissions, or choose another folder'
            )
        for part, sentence in _KNOWN.items():
            if part in str(seen):
                return sentence.replace('{error}', str(seen))
        seen = seen.__cause__ or seen.__context__
    return None
