"""Find, read and decode pictures and id maps, and notice damaged files."""

import io
import os
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import CorruptFileError, DataError

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff')
LABEL_SUFFIXES = ('.png', '.tif', '.tiff', '.bmp')
_SYSTEM_FOLDERS = ('@eadir', '__macosx')
Suffix = str | Sequence[str]

_PNG = b'\x89PNG\r\n\x1a\n'
_EXIF_ORIENTATION = 0x0112
_PNG_PARTS = (b'IHDR', b'PLTE', b'IDAT', b'IEND')
_JPEG, _JPEG_SCAN, _JPEG_END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'


def as_suffixes(suffix: Suffix) -> tuple[str, ...]:
    """One suffix or several as a tuple, lower case, longest first."""
    suffixes = (suffix,) if isinstance(suffix, str) else tuple(suffix)
    return tuple(sorted(map(str.lower, suffixes), key=len, reverse=True))


def one_form(name: str) -> str:
    """Write a name in Unicode's composed form; macOS stores an accent apart from its letter."""
    return unicodedata.normalize('NFC', name)


def cut_suffix(name: str, suffixes: Sequence[str]) -> str | None:
    """A name without the longest suffix that fits; None if none does."""
    low = name.lower()
    suffix = next((s for s in suffixes if low.endswith(s)), None)
    return None if suffix is None else name[: len(name) - len(suffix)]


def list_files(folder: str, suffix: Suffix) -> tuple[dict[str, str], Counter]:
    """List the files of a kind in a folder and below.

    Links are followed. Hidden names (``._0000.png``, ``.ipynb_checkpoints``) and the folders of
    systems (``@eaDir``, ``__MACOSX``) are left out.

    Args:
        folder (str): Folder.
        suffix (str | Sequence[str]): Endings; upper and lower case are alike.

    Returns:
        tuple: From the name below the folder without suffix (``train/bonn/0000``) to the path,
        sorted; and how many other files there are of each ending.

    Raises:
        DataError: If two files have one name, or a folder cannot be read.
    """
    suffixes = as_suffixes(suffix)
    files: dict[str, str] = {}
    other: Counter = Counter()
    for below in _walk(folder):
        stem = cut_suffix(below, suffixes)
        if not stem or stem.endswith(os.sep):
            name = os.path.basename(below)
            other[os.path.splitext(name)[1].lower() or name] += 1
            continue
        path = os.path.join(folder, below)
        first = files.setdefault(one_form(stem), path)
        if first is not path:
            raise DataError(
                f'{first} and {path} have one name; remove one, or set img_suffix or label_suffix '
                'to the ending that tells them apart'
            )
    return dict(sorted(files.items())), other


def _walk(folder: str, below: str = '', above: tuple[str, ...] = ()) -> Iterator[str]:
    """Names below a folder; a link back to a folder above it is left out."""
    place = os.path.join(folder, below)
    real = os.path.realpath(place)
    if real in above:
        return
    try:
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f'cannot list {place}: {error.strerror}; mend the permissions or the link'
        ) from error
    for entry in entries:
        if entry.name.startswith('.') or entry.name.lower() in _SYSTEM_FOLDERS:
            continue
        name = os.path.join(below, entry.name)
        # a link may point at itself, which only os.path takes
        if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
            yield from _walk(folder, name, (*above, real))
        else:
            yield name


def read_bytes(path: str) -> bytes:
    """Read a whole file.

    Raises:
        CorruptFileError: If it is missing, unreadable or empty.
    """
    try:
        with open(path, 'rb') as file:
            data = file.read()
    except OSError as error:
        raise CorruptFileError(
            f'cannot read {path}: {error.strerror}; check the data root and the permissions'
        ) from error
    if not data:
        raise CorruptFileError(f'{path} is empty (0 bytes); copy the file again')
    return data


def header_size(data: bytes) -> tuple[int, int] | None:
    """Height and width that a file says it has, as stored; None if it is no picture."""
    try:
        return Image.open(io.BytesIO(data)).size[::-1]
    except Exception:  # Pillow raises many kinds; decoding says what is wrong
        return None


def exif_orientation(data: bytes) -> int:
    """How a viewer turns a picture: EXIF orientation 1..8, 1 = as stored."""
    if data[:2] != _JPEG and b'Exif' not in data[:65536] and b'eXIf' not in data:
        return 1  # asking Pillow would decode a PNG
    try:
        value = Image.open(io.BytesIO(data)).getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:
        return 1
    return value if value in range(1, 9) else 1


def turned(array: np.ndarray, orientation: int, back: bool = False) -> np.ndarray:
    """Turn an array as a viewer turns a picture.

    Args:
        array (ndarray): (H, W) or (H, W, C).
        orientation (int): EXIF orientation, 1..8; above 4, height and width change places.
        back (bool): Undo the turn instead.
    """
    if orientation == 1:
        return array
    if back:  # of a quarter turn, the other one
        orientation = {6: 8, 8: 6}.get(orientation, orientation)
    if orientation > 4:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _check_complete(data: bytes, path: str) -> None:
    """Raise if a JPEG or PNG is cut, or a PNG's checksums are wrong.

    A JPEG has no checksum: it must have an end mark after the start of its last scan (one before
    belongs to a thumbnail). Without it, the file is decoded by Pillow, which refuses truncated
    files; zeros at the end, as an interrupted copy leaves them, are taken off first.
    """
    if data[:8] == _PNG:
        _check_png(data, path)
        return
    if data[:2] == _JPEG:
        if data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN):
            return
        data = data.rstrip(b'\0')
    _decode_pillow(data, path)


def _check_png(data: bytes, path: str) -> None:
    """Raise if a part of a PNG is cut or differs from its checksum, of which libpng only warns."""
    place, kind = 8, b''
    while kind != b'IEND':
        size = int.from_bytes(data[place : place + 4], 'big')
        kind, end = data[place + 4 : place + 8], place + 8 + size
        if end + 4 > len(data):
            raise _corrupt(path, 'it ends too early')
        check = int.from_bytes(data[end : end + 4], 'big')
        if kind in _PNG_PARTS and zlib.crc32(data[place + 4 : end]) != check:
            raise _corrupt(path, 'wrong checksum')
        place = end + 4


def _corrupt(path: str, why: object) -> CorruptFileError:
    """The error for a file that cannot be decoded."""
    return CorruptFileError(
        f'cannot decode {path} ({why}); the file is truncated or damaged: copy it again'
    )


def _decode_pillow(data: bytes, path: str) -> Image.Image:
    """Decode with Pillow; any failure becomes a CorruptFileError."""
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
        return picture
    except UnidentifiedImageError as error:
        raise _corrupt(path, 'no picture format is known that begins so') from error
    except Exception as error:  # Pillow raises many kinds on broken files
        raise _corrupt(path, error) from error


def _decode_cv2(data: bytes, flag: int) -> np.ndarray | None:
    """Decode with OpenCV; None if it cannot."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:  # for example a header that asks for too much memory
        return None


def decode_image(data: bytes, path: str, reduce: int = 1) -> np.ndarray:
    """Decode a color picture; an EXIF orientation is not applied.

    Args:
        data (bytes): The file.
        path (str): Its name, for the error text.
        reduce (int): Decode a JPEG at 1/1, 1/2, 1/4 or 1/8 of its size, which is faster.

    Returns:
        ndarray: (H, W, 3), BGR, uint8, H and W divided by ``reduce`` (rounded up).

    Raises:
        CorruptFileError: If the file is truncated, damaged or no picture.
    """
    _check_complete(data, path)
    flag = getattr(cv2, f'IMREAD_REDUCED_COLOR_{reduce}') if reduce > 1 else cv2.IMREAD_COLOR
    image = _decode_cv2(data, flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        picture = _decode_pillow(data, path).convert('RGB')
        image = np.ascontiguousarray(np.asarray(picture)[..., ::-1])
    return image


def reduction(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """Largest of 1, 2, 4, 8 by which (height, width) divided stays at least as wanted."""
    return max(f for f in (1, 2, 4, 8) if f == 1 or all(s >= f * w for s, w in zip(size, wanted)))


def decode_ids(data: bytes, path: str, colors: bool = False) -> np.ndarray:
    """Decode a map of ids without turning indices into colors.

    Understands 1- to 16-bit grey and palette PNGs (index, not color), 32-bit TIFF, and RGB(A)
    files.

    Args:
        data (bytes): The file.
        path (str): Its name, for the error text.
        colors (bool): Labels are coded by color: read a palette file by its colors.

    Returns:
        ndarray: (H, W), uint8, uint16 or int32 ids; or (H, W, 3 | 4), RGB or RGBA uint8, for color
        files.

    Raises:
        CorruptFileError: If the file is truncated, damaged or no picture.
        DataError: If it is a JPEG, whose compression changes ids.
    """
    _check_complete(data, path)
    if data[:2] == _JPEG:
        raise DataError(
            f'{path} is a JPEG, expected a PNG or TIFF of ids: JPEG compression invents ids at '
            'every border; make it again from the source as PNG'
        )
    if data[:8] == _PNG and len(data) > 26 and data[25] == 0 and data[24] >= 8:
        ids = _decode_cv2(data, cv2.IMREAD_UNCHANGED)
        if ids is not None and ids.ndim == 2:
            return ids
    picture = _decode_pillow(data, path)
    if colors and picture.mode in ('P', 'PA'):
        return np.asarray(picture.convert('RGB'))
    if data[:8] == _PNG and data[25] == 0 and data[24] < 8:  # Pillow spreads them over 0..255
        return np.asarray(picture.convert('L')) // (255 // (2 ** data[24] - 1))
    if picture.mode in ('LA', 'PA'):
        picture = picture.getchannel(0)
    if picture.mode in ('CMYK', 'YCbCr', 'LAB', 'HSV'):
        picture = picture.convert('RGB')
    ids = np.asarray(picture)
    if ids.dtype.itemsize > 2:  # 32 bits, perhaps with a fraction
        return np.rint(ids).astype(np.int32)
    return ids.astype(np.uint8) if ids.dtype == bool else ids


def id24(color: np.ndarray) -> np.ndarray:
    """Ids coded as R + 256 G + 65536 B (+ 2**24 A), as panoptic PNGs do.

    Args:
        color (ndarray): (H, W, 3 | 4), RGB(A), uint8.

    Returns:
        ndarray: (H, W), int64.
    """
    ids = color[..., :3].astype(np.int64) @ np.array([1, 256, 65536])
    if color.shape[-1] == 4 and not (color[..., 3] == 255).all():
        ids = ids + (color[..., 3].astype(np.int64) << 24)
    return ids
