"""Keep instance maps on disk, run-length coded, beside their hash."""

import hashlib
import os
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files import replace_file
from .instances import Instances

_MAGIC = b'SLNPINS1'
_HEAD = struct.Struct('<8s32sIIIIII')


def default_cache_dir() -> str:
    """The user's cache folder for instance maps."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return os.path.join(base, 'slnp_mm', 'instances')


def file_stamp(path: str) -> str:
    """Name, size and time of change of a file; '' if there is no file."""
    if not path:
        return ''
    try:
        stat = os.stat(path)
        return f'{os.path.abspath(path)}|{stat.st_size}|{stat.st_mtime_ns}'
    except OSError:
        return f'{os.path.abspath(path)}|missing'


class InstanceCache:
    """Instance maps of a data set, one small file a picture.

    A file holds the hash of all that made it, so that the map of a changed label file is computed
    anew, and a checksum, so that a damaged one is. Several workers or runs may write the same file;
    runs with other settings have files of their own.

    Args:
        root (str | None): Folder; 'auto' takes ``default_cache_dir()``; None keeps nothing.
    """

    def __init__(self, root: str | None = 'auto') -> None:
        self.root = default_cache_dir() if root == 'auto' else root and os.path.expanduser(root)
        self.rebuilt = 0

    def path_of(self, name: str, made_of: Sequence[str]) -> tuple:
        """Path of the file of one picture, and its 32-byte hash."""
        # os.fsencode: a file name may hold bytes that are no text
        digest = hashlib.sha256(os.fsencode('\n'.join([name, *made_of]))).digest()
        slot = hashlib.sha256(os.fsencode(name)).hexdigest()
        return os.path.join(self.root, slot[:2], slot[2:18] + '.rle'), digest

    def load(self, name: str, made_of: Sequence[str]) -> Instances | None:
        """Read one map.

        Args:
            name (str): Identity of the picture and of the settings.
            made_of (Sequence[str]): Everything else the map depends on.

        Returns:
            Instances | None: None if it is absent, outdated or damaged.
        """
        if self.root is None:
            return None
        path, digest = self.path_of(name, made_of)
        try:
            data = Path(path).read_bytes()
        except OSError:
            return None

        # damaged
        head, body = data[: _HEAD.size], data[_HEAD.size :]
        if len(head) < _HEAD.size or zlib.crc32(head[:-4] + body) != int.from_bytes(
            head[-4:], 'little'
        ):
            self.rebuilt += 1
            return None

        # outdated
        magic, made, depth, height, width, num, runs, _ = _HEAD.unpack(head)
        if (magic, made) != (_MAGIC, digest):
            return None
        classes = np.frombuffer(body, np.int16, num)
        values = np.frombuffer(body, np.int16, runs, 2 * num)
        lengths = np.frombuffer(body, np.int32, runs, 2 * (num + runs))
        layers = np.repeat(values, lengths).reshape(depth, height, width)
        return Instances(layers, classes.copy())

    def save(self, name: str, made_of: Sequence[str], found: Instances) -> None:
        """Write one map; an unwritable folder turns the cache off."""
        if self.root is None:
            return
        path, digest = self.path_of(name, made_of)
        flat = found.layers.astype(np.int16).ravel()
        starts = np.flatnonzero(np.append(True, np.diff(flat))[: flat.size])
        lengths = np.diff(np.append(starts, flat.size)).astype(np.int32)
        classes, values = found.classes.astype(np.int16), flat[starts]
        body = classes.tobytes() + values.tobytes() + lengths.tobytes()
        head = _HEAD.pack(_MAGIC, digest, *found.layers.shape, len(classes), len(values), 0)[:-4]
        check = struct.pack('<I', zlib.crc32(head + body))
        try:
            with replace_file(path) as draft:
                Path(draft).write_bytes(head + check + body)
        except OSError as error:
            warnings.warn(
                f'instance maps are not cached: cannot write to {self.root} ({error.strerror}); '
                'set cache_dir of SLNPLoadInstances to a writable folder',
                stacklevel=2,
            )
            self.root = None
