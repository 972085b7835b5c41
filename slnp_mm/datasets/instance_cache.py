"""Keep instance maps on disk, run-length coded, beside their hash."""

import hashlib
import os
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files import replace_file
from .instances import Instances


def file_stamp(path: str) -> str:
    """Name, size and time of change of a file; '' if there is no file."""
    if not path:
        return ''
    try:
        stat = os.stat(path)
        return f'{os.path.abspath(path)}|{stat.st_size}|{stat.st_mtime_ns}'
    except OSError:
        return f'{os.path.abspath(path)}|missing'


def _checksum(body: bytes) -> bytes:
    """Four bytes that tell a damaged file."""
    return zlib.crc32(body).to_bytes(4, 'little')


class InstanceCache:
    """Instance maps of a data set, one small file a picture.

    A file holds the hash of all that made it, so that the map of a changed label file is computed
    anew, and a checksum, so that a damaged one is. Several workers or runs may write the same
    file; runs with other settings have files of their own.

    Args:
        root (str | None): Folder; 'auto' is ``slnp_mm/instances`` in the user's cache folder; None
            keeps nothing.
    """

    def __init__(self, root: str | None = 'auto') -> None:
        if root == 'auto':
            base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
            root = os.path.join(base, 'slnp_mm', 'instances')
        self.root = root and os.path.expanduser(root)

    def _place(self, name: str, made_of: Sequence[str]) -> tuple[Path, bytes]:
        """File of one picture, and the 32-byte hash of what made its map."""
        # os.fsencode: a file name may hold bytes that are no text
        digest = hashlib.sha256(os.fsencode('\n'.join([name, *made_of]))).digest()
        slot = hashlib.sha256(os.fsencode(name)).hexdigest()
        return Path(self.root, slot[:2], slot[2:18] + '.rle'), digest

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
        path, digest = self._place(name, made_of)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if data[:36] != digest + _checksum(data[36:]):
            return None

        numbers = np.frombuffer(data, np.int32, offset=36)
        num, *shape = numbers[:4]
        values, lengths = numbers[4 + num :].reshape(2, -1)
        layers = np.repeat(values.astype(np.int16), lengths).reshape(shape)
        return Instances(layers, numbers[4 : 4 + num].astype(np.int16))

    def save(self, name: str, made_of: Sequence[str], found: Instances) -> None:
        """Write one map; an unwritable folder turns the cache off."""
        if self.root is None:
            return
        path, digest = self._place(name, made_of)
        flat = found.layers.ravel()
        starts = np.flatnonzero(np.diff(flat, prepend=-2))
        lengths = np.diff(starts, append=flat.size)
        parts = ([len(found.classes), *found.layers.shape], found.classes, flat[starts], lengths)
        body = np.concatenate(parts).astype(np.int32).tobytes()
        try:
            with replace_file(path) as draft:
                Path(draft).write_bytes(digest + _checksum(body) + body)
        except OSError as error:
            warnings.warn(
                f'instance maps are not cached: cannot write to {self.root} ({error.strerror}); '
                'set cache_dir of SLNPLoadInstances to a writable folder',
                stacklevel=2,
            )
            self.root = None
