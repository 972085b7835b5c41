"""Find, read and decode images and id maps, and detect damaged files."""

import glob
import io
import os
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

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
Source = str | os.PathLike | bytes | np.ndarray | Image.Image


def as_suffixes(suffix: Suffix) -> tuple[str, ...]:
    """One or more suffixes as a tuple, lower case, longest first."""
    suffixes = (suffix,) if isinstance(suffix, str) else tuple(suffix)
    return tuple(sorted(map(str.lower, suffixes), key=len, reverse=True))


def one_form(name: str) -> str:
    """Normalize a name to NFC; macOS stores accents apart from their letters."""
    return unicodedata.normalize('NFC', name)


def cut_suffix(name: str, suffixes: Sequence[str]) -> str | None:
    """A name without the longest suffix that matches; None if none does."""
    low = name.lower()
    suffix = next((s for s in suffixes if low.endswith(s)), None)
    return None if suffix is None else name[: len(name) - len(suffix)]


def list_files(folder: str, suffix: Suffix) -> tuple[dict[str, str], Counter]:
    """List the files with a suffix in a folder and below; links are followed.

    Hidden names (``._0000.png``, ``.ipynb_checkpoints``) and system folders (``@eaDir``,
    ``__MACOSX``) are skipped. Case is ignored in suffixes.

    Returns:
        tuple: Path by name, sorted, where the name is the path below the folder without suffix
        (``train/bonn/0000``); and the number of other files by suffix.

    Raises:
        DataError: If two files have the same name, or a folder cannot be read.
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
                f'{first} and {path} have the same name; remove one, or set img_suffix or '
                'label_suffix to the suffix that tells them apart'
            )
    return dict(sorted(files.items())), other


def _walk(folder: str, below: str = '', above: tuple[str, ...] = ()) -> Iterator[str]:
    """Names below a folder; links back to a parent folder are skipped."""
    place = os.path.join(folder, below)
    real = os.path.realpath(place)
    if real in above:
        return
    try:
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f'cannot list {place}: {error.strerror}; fix the permissions or the link'
        ) from error
    for entry in entries:
        if entry.name.startswith('.') or entry.name.lower() in _SYSTEM_FOLDERS:
            continue
        name = os.path.join(below, entry.name)
        # entry.is_dir raises on a link to itself, os.path.isdir does not
        if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
            yield from _walk(folder, name, (*above, real))
        else:
            yield name


def find_labels(path: str, suffix: Suffix = LABEL_SUFFIXES) -> list[tuple[str, str]]:
    """List label files: path, and name below the folder without suffix, sorted.

    ``path`` is a file, a folder, which is searched with all below, or a glob (``**`` for all
    below); a glob's names start below the deepest common folder.

    Raises:
        DataError: If there is none.
    """
    path = os.path.expanduser(path)
    suffixes = as_suffixes(suffix)
    if os.path.isfile(path):
        name = os.path.basename(path)
        return [(path, cut_suffix(name, suffixes) or Path(path).stem)]
    if os.path.isdir(path):
        found = list_files(path, suffix)[0]
    else:
        files = [f for f in glob.glob(path, recursive=True) if cut_suffix(f, suffixes)]
        root = files and os.path.commonpath([os.path.dirname(f) for f in files])
        found = {cut_suffix(os.path.relpath(f, root or '.'), suffixes): f for f in sorted(files)}
    if not found:
        raise DataError(
            f'no label map at {path}: give a file, or a folder with files ending in '
            f'{" or ".join(suffixes)}'
        )
    return [(file, name) for name, file in found.items()]


def read_bytes(path: str) -> bytes:
    """Read a whole file; a CorruptFileError if it is missing, unreadable or empty."""
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


def _header(data: bytes) -> Image.Image | None:
    """Open an image with Pillow without decoding it; None if it is no image."""
    try:
        return Image.open(io.BytesIO(data))
    except Exception:  # Pillow raises many types; decoding reports what is wrong
        return None


def header_size(data: bytes) -> tuple[int, int] | None:
    """Stored height and width from a file's header; None if it is no image."""
    header = _header(data)
    return header and header.size[::-1]


def exif_orientation(data: bytes) -> int:
    """EXIF orientation of a file, 1..8; 1 = as stored."""
    if data[:8] == _PNG and b'Exif' not in data[:65536] and b'eXIf' not in data:
        return 1  # Pillow would decode the whole file
    try:
        value = Image.open(io.BytesIO(data)).getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:
        return 1
    return value if value in range(1, 9) else 1


def turned(array: np.ndarray, orientation: int, back: bool = False) -> np.ndarray:
    """Apply EXIF orientation 1..8 to an array, (H, W) or (H, W, C), or undo it."""
    if orientation == 1:
        return array
    if back:  # quarter turns are each other's inverse
        orientation = {6: 8, 8: 6}.get(orientation, orientation)
    if orientation > 4:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _check_complete(data: bytes, path: str) -> Image.Image | None:
    """Raise if a JPEG or PNG is truncated, or a PNG checksum is wrong; return any decoded image.

    A JPEG has no checksum: it must have an end marker after its last scan starts (an earlier one
    belongs to a thumbnail). Otherwise Pillow decodes it and refuses truncated files; zeros at the
    end, which an interrupted copy leaves, are stripped first.
    """
    if data[:8] == _PNG:
        _check_png(data, path)
        return None
    if data[:2] == _JPEG:
        if data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN):
            return None
        data = data.rstrip(b'\0')
    return _decode_pillow(data, path)


def _check_png(data: bytes, path: str) -> None:
    """Raise if a PNG chunk is truncated or fails its checksum; libpng only warns."""
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
        pil = Image.open(io.BytesIO(data))
        pil.load()
        return pil
    except UnidentifiedImageError as error:
        raise _corrupt(path, 'unknown image format') from error
    except Exception as error:  # Pillow raises many types on broken files
        raise _corrupt(path, error) from error


def _decode_cv2(data: bytes, flag: int) -> np.ndarray | None:
    """Decode with OpenCV; None if it cannot."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:  # for example, the header asks for too much memory
        return None


def decode_image(data: bytes, path: str, reduce: int = 1) -> np.ndarray:
    """Decode an image to (H, W, 3), BGR, uint8, without applying its EXIF orientation.

    16-bit values keep their upper 8 bits, floats are 0..1 or 0..255, alpha is dropped. ``reduce``
    decodes at 1/1, 1/2, 1/4 or 1/8 of each side (rounded up), which is faster for a JPEG.

    Raises:
        CorruptFileError: If the file is truncated, damaged or no image.
        DataError: If its values are not those of an image.
    """
    pil = _check_complete(data, path)
    if data[:8] == _PNG or (data[:2] == _JPEG and getattr(_header(data), 'mode', '') != 'CMYK'):
        flag = getattr(cv2, f'IMREAD_REDUCED_COLOR_{reduce}') if reduce > 1 else cv2.IMREAD_COLOR
        image = _decode_cv2(data, flag | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is not None:
            return image
    pil = pil or _decode_pillow(data, path)
    turn = exif_orientation(data) if pil.format == 'TIFF' else 1  # which Pillow applies
    image = turned(_pillow_rgb(pil.reduce(reduce), path), turn, back=True)
    return np.ascontiguousarray(image[..., ::-1])


def read_image(source: Source, where: str) -> np.ndarray:
    """Read a real image of any kind as a viewer shows it; see :func:`decode_image`.

    Args:
        source: A file, its bytes, a PIL image or an array: (H, W), grey, or (H, W, 3 | 4), RGB(A),
            of integers, or of floats 0..1 or 0..255.
        where (str): Its name in error texts.

    Returns:
        ndarray: (H, W, 3), RGB, uint8.

    Raises:
        CorruptFileError: If a file is missing, truncated, damaged or no image.
        DataError: If the source has another type, or its values are not those of an image.
    """
    if isinstance(source, np.ndarray):
        return _rgb_of_8_bits(source, where)
    source = open_source(source, where)
    if isinstance(source, Image.Image):
        orientation = source.getexif().get(_EXIF_ORIENTATION, 1)
        return turned(_pillow_rgb(source, where), orientation)
    image = turned(decode_image(source, where), exif_orientation(source))
    return np.ascontiguousarray(image[..., ::-1])


def open_source(source: Source, where: str) -> bytes | Image.Image:
    """Return the bytes of a file, or a PIL image with its pixels loaded."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, (str, os.PathLike)):
        return read_bytes(os.path.expanduser(source))
    if not isinstance(source, Image.Image):
        raise DataError(
            f'{where} must be a path, the bytes of a file, an array or a PIL image, but is a '
            f'{type(source).__name__}'
        )
    try:
        source.load()
    except Exception as error:  # Pillow raises many types
        raise DataError(
            f'{where} is a PIL image without pixels ({error or "its file is closed"}): call its '
            'load() before its file is closed, or pass the path of an intact file'
        ) from error
    return source


def _pillow_rgb(pil: Image.Image, where: str) -> np.ndarray:
    """A loaded Pillow image as (H, W, 3), RGB, uint8."""
    if pil.mode[0] in 'IF':  # Pillow clips these to 255
        return _rgb_of_8_bits(np.asarray(pil), where)
    pil = pil.convert('LA') if pil.mode == 'La' else pil
    return np.asarray(pil.convert('RGB'))


def _rgb_of_8_bits(array: np.ndarray, where: str) -> np.ndarray:
    """An array of :func:`read_image` as (H, W, 3), RGB, uint8."""
    grey = array.ndim == 2
    shaped = grey or array.shape[2:] in ((3,), (4,))
    if not (array.size and shaped and array.dtype.kind in 'buif'):
        raise DataError(
            f'{where}: expected an image (H, W), or (H, W, 3), RGB, but got {array.dtype} of shape '
            f'{array.shape}'
        )
    array = array[..., None].repeat(3, 2) if grey else array[..., :3]
    if array.dtype != np.uint8:
        low, high = array.min(), array.max()
        whole = array.dtype.kind != 'f'
        if not (low >= 0 and high <= (65535 if whole else 255)):
            raise DataError(
                f'{where} has values from {low} to {high}, expected an image of integers 0..255 or '
                '0..65535, or of floats 0..1 or 0..255'
            )
        if not whole:
            array = np.rint(array * 255.0 if high <= 1 else array)
        elif array.dtype == bool:
            array = array * 255
        elif high > 255 or array.dtype.str[1:] == 'u2':
            array = array >> 8
    return np.ascontiguousarray(array, np.uint8)


def reduction(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """Largest of 1, 2, 4, 8 that keeps (height, width) at least as large as wanted."""
    return max(f for f in (1, 2, 4, 8) if f == 1 or all(s >= f * w for s, w in zip(size, wanted)))


def decode_ids(data: bytes | Image.Image, path: str, colors: bool = False) -> np.ndarray:
    """Decode an id map without turning palette indices into colors.

    Reads 1- to 16-bit grey and palette PNGs, 32-bit TIFF, and RGB(A) files; ``data`` is a file's
    bytes or what :func:`open_source` returns, ``colors`` reads palette files by their colors.

    Returns:
        ndarray: (H, W), uint8, uint16 or int32 ids; or (H, W, 3 | 4), uint8, RGB or RGBA.

    Raises:
        CorruptFileError: If the file is truncated, damaged or no image.
        DataError: If it is a JPEG, whose compression changes ids, or its numbers are not whole.
    """
    if isinstance(data, Image.Image):
        return _pillow_ids(data, path, colors)
    pil = _check_complete(data, path)
    if data[:8] == _PNG and len(data) > 26 and data[25] == 0 and data[24] >= 8:
        ids = _decode_cv2(data, cv2.IMREAD_UNCHANGED)
        if ids is not None and ids.ndim == 2:
            return ids
    pil = pil or _decode_pillow(data, path)
    if data[:8] == _PNG and data[25] == 0 and data[24] < 8:  # Pillow scales them to 0..255
        return np.asarray(pil.convert('L')) // (255 // (2 ** data[24] - 1))
    return _pillow_ids(pil, path, colors)


def _pillow_ids(pil: Image.Image, where: str, colors: bool) -> np.ndarray:
    """Ids or colors of a loaded Pillow image; see :func:`decode_ids`."""
    if pil.format in ('JPEG', 'MPO'):
        raise DataError(
            f'{where} is a JPEG, expected a PNG or TIFF of ids: JPEG compression invents ids at '
            'every border; export it again from the source as PNG'
        )
    if pil.mode in ('La', 'RGBa'):
        pil = pil.convert(pil.mode.upper())
    if colors and pil.mode in ('P', 'PA'):
        pil = pil.convert('RGB')
    elif pil.mode in ('LA', 'PA'):
        pil = pil.getchannel(0)
    elif pil.mode in ('CMYK', 'YCbCr', 'LAB', 'HSV', 'RGBX'):
        pil = pil.convert('RGB')
    ids = np.asarray(pil)
    if ids.dtype.kind == 'f':
        wrong = ids[~((ids == np.rint(ids)) & (np.abs(ids) < 2**31))]
        if wrong.size:
            raise DataError(
                f'{where} holds {wrong[0]}, expected whole ids; was the label map resized with '
                'interpolation, or is it an image?'
            )
    if ids.dtype.itemsize > 2:
        return ids.astype(np.int32)
    return ids.astype(np.uint8) if ids.dtype == bool else ids


def id24(color: np.ndarray) -> np.ndarray:
    """Ids, (H, W), int64, from RGB(A), uint8, as R + 256 G + 65536 B (+ 2**24 A): panoptic PNGs."""
    ids = color[..., :3].astype(np.int64) @ np.array([1, 256, 65536])
    if color.shape[-1] == 4 and not (color[..., 3] == 255).all():
        ids = ids + (color[..., 3].astype(np.int64) << 24)
    return ids
