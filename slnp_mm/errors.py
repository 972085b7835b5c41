"""One clear sentence for what a user can mend."""

from __future__ import annotations

import errno
import os
import re
import traceback
from numbers import Integral
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# the system's refusals to write, which no traceback makes clearer
_NO_WRITING = [
    getattr(errno, name)
    for name in 'EACCES EPERM EROFS ENOSPC EDQUOT EFBIG EEXIST ENOTDIR EISDIR'.split()
]
_SMALL = 'the pictures are too small for these networks: raise image_size of the data set'
# Errors of other packages that a setting causes: a part of their text, and what to do.
_KNOWN = (
    (
        'Expected more than 1 value per channel',
        'a batch norm met a batch that leaves it one value a channel: set batch_size of the '
        'loader to 2 or more, and drop_last=True if the last batch may hold one picture',
    ),
    ("Kernel size can't be greater than actual input size", _SMALL),
    ('Expected more than 1 spatial element', _SMALL),
    (
        'CUDA out of memory',
        'the GPU has no memory left: lower batch_size of train_dataloader or image_size of the '
        'data set, or end other programs on this GPU (nvidia-smi lists them)',
    ),
    (
        'out of shared memory',
        'the processes that load data have no shared memory left: lower num_workers of the '
        'loader (0 needs none), or give the container more (docker run --shm-size=8g)',
    ),
    ('EADDRINUSE', 'another run uses this port: give torchrun another one (--master_port=29501)'),
    (
        'does not match meta information of the first dataset',
        'the parts of a ConcatDataset have other classes or colors: give each the same '
        'metainfo=dict(classes=..., palette=...)',
    ),
)
_WORKER = re.compile(r'Caught \w+ in DataLoader worker process')


class SLNPError(RuntimeError):
    r"""A problem the user can mend, in one sentence; bytes that are no text become ``\xNN``."""

    def __init__(self, text: str = '') -> None:
        super().__init__(str(text).encode(errors='backslashreplace').decode())


class DataError(SLNPError):
    """Something is wrong with the user's data or its settings.

    Args:
        text (str): What was expected, what came, which file, what to do.
        kind (str): Under which title the check lists it.
    """

    def __init__(self, text: str = '', kind: str = 'data') -> None:
        super().__init__(text)
        self.kind = kind


class CorruptFileError(DataError):
    """A file cannot be read or decoded (truncated, damaged, not a picture).

    Only this kind of error may be skipped by ``skip_corrupt=True``.
    """


def check_file(path: str | os.PathLike, what: str, remedy: str) -> Path:
    """Check that a file which the user names is there.

    Args:
        path (str or PathLike): The file.
        what (str): What it should be, for example 'config'.
        remedy (str): What to do if it is missing.

    Raises:
        SLNPError: If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise SLNPError(f'no {what} at {path}: {remedy}')
    return path


def check_seed(seed: int, name: str = 'seed', count: int = 1) -> int:
    """Check a seed, of which the ``count - 1`` next ones are used too.

    Raises:
        SLNPError: If it is no integer (numpy's are) from 0, or one of them is 2**32 or above.
    """
    top = 2**32 - count
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed <= top:
        raise SLNPError(f'{name} must be a whole number from 0 to {top}, but got {seed!r}')
    return int(seed)


def check_device(device: str) -> str:
    """Check that a device which the user asks for is there: 'cpu', 'cuda', 'cuda:1', ...

    Raises:
        SLNPError: If it is another kind of device, or CUDA is asked for where there is none, or its
            number is too high.
    """
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


def _raised_by_us(error: BaseException) -> bool:
    """Whether a `raise` statement of this package made the error."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return False
    last = frames[-1]
    ours = PACKAGE in Path(last.filename).resolve().parents
    return ours and (last.line or '').lstrip().startswith('raise ')


def _worker_sentence(text: str) -> str | None:
    """Find our sentence in the text of a data loader worker's error."""
    frames = re.findall(r'^  File "(.+)", line \d+.*\n    (.*)$', text, re.M)
    if not _WORKER.search(text) or not frames:
        return None
    path, line = frames[-1]
    if PACKAGE not in Path(path).parents or not line.startswith('raise '):
        return None
    last = [row for row in text.splitlines() if row.strip()][-1]
    return last.split(': ', 1)[-1]


def one_sentence(error: BaseException) -> str | None:
    """Give the sentence of an error that the user can mend, None for a bug.

    Such an error is one that a `raise` statement of this package made on purpose, here or in a data
    loader's worker process, a :class:`SLNPError` from anywhere, the system's refusal to read or
    write a file, or one that other packages are known to make of a setting. Anything else is a bug,
    of which the traceback is wanted.
    """
    seen: BaseException | None = error
    while seen is not None:
        found = _worker_sentence(str(seen))
        if found is not None:
            return found
        if isinstance(seen, SLNPError) or _raised_by_us(seen):
            return ' '.join(str(seen.args[0] if seen.args else seen).split())
        if isinstance(seen, OSError) and seen.errno in _NO_WRITING:
            where = f' at {seen.filename}' if seen.filename else ''
            return (
                f'{seen.strerror}{where}: make room, mend the permissions, or choose another folder'
            )
        for part, sentence in _KNOWN:
            if part in str(seen):
                return sentence
        seen = seen.__cause__ or seen.__context__
    return None
