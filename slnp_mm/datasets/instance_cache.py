"""Keep instance maps on disk, run-length coded, beside their hash."""

import hashlib
import os
import struct
import tempfile
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .instances import Instances

_MAGIC = b'SLNPINS1'
_HEAD = struct.Struct('<8s32sIIIIII')


def default_cache_dir() -> str:
    """The user's cache folder for instance maps."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return str(Path(base) / 'slnp_mm' / 'instances')


def file_stamp(path: str) -> str:
    """Name, size and time of change of a file; '' if there is no file."""
    if not path:
        return ''
    try:
        stat = os.stat(path)
    except OSError:
        return f'{os.path.abspath(path)}|missing'
    return f'{os.path.abspath(path)}|{stat.st_size}|{stat.st_mtime_ns}'


class InstanceCache:
    """Instance maps of a data set, one small file a picture.

    A file holds the hash of all that made it, so that the map of a changed label file is computed
    anew, and a checksum, so that a damaged one is. Files appear by renaming: several workers or
    runs may write the same one; runs with other settings have files of their own.

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
            with open(path, 'rb') as file:
                data = file.read()
        except OSError:
            return None
        return self._decode(data, digest)

    def _decode(self, data: bytes, digest: bytes) -> Instances | None:
        """Decode a file's bytes; None if they are not what was written."""
        if len(data) < _HEAD.size:
            self.rebuilt += 1
            return None
        (magic, made, depth, height, width, num, runs, check) = _HEAD.unpack(data[: _HEAD.size])
        body = data[_HEAD.size :]
        if magic != _MAGIC or zlib.crc32(data[: _HEAD.size - 4] + body) != check:
            self.rebuilt += 1
            return None
        if made != digest:
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
        edges = np.flatnonzero(np.diff(flat)) + 1
        starts = np.concatenate([[0], edges]).astype(np.int64)
        lengths = np.diff(np.append(starts, flat.size)).astype(np.int32)
        values = flat[starts] if flat.size else flat[:0]
        body = found.classes.astype(np.int16).tobytes() + values.tobytes() + lengths.tobytes()
        head = _HEAD.pack(_MAGIC, digest, *found.layers.shape, len(found.classes), len(values), 0)
        check = zlib.crc32(head[:-4] + body)
        self._write(path, head[:-4] + struct.pack('<I', check) + body)

    def _write(self, path: str, data: bytes) -> None:
        """Write a file under its final name in one step."""
        temp = None
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            handle, temp = tempfile.mkstemp(dir=os.path.dirname(path), suffix='.tmp')
            with os.fdopen(handle, 'wb') as file:
                file.write(data)
            os.replace(temp, path)
        except OSError as error:
            if temp and os.path.exists(temp):
                os.unlink(temp)
            warnings.warn(
                f'instance maps are not cached: cannot write to {self.root} ({error.strerror}); '
                'set cache_dir of SLNPLoadInstances to a writable folder',
                stacklevel=2,
            )
            self.root = None
