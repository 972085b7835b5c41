"""Read pictures and id maps from disk, and notice damaged files."""

import io
import struct

import cv2
import numpy as np
from PIL import Image

from .errors import CorruptFileError

_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


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
            f'cannot read {path}: {error.strerror}; check the data root and '
            'the permissions'
        ) from error
    if not data:
        raise CorruptFileError(
            f'{path} is empty (0 bytes); copy the file again'
        )
    return data


def header_size(data: bytes) -> tuple[int, int] | None:
    """Read height and width from a JPEG or PNG header.

    Args:
        data (bytes): The file.

    Returns:
        tuple[int] | None: (height, width); None if the format is another.
    """
    if data[:8] == _PNG and len(data) >= 24:
        width, height = struct.unpack('>II', data[16:24])
        return height, width
    if data[:2] != b'\xff\xd8':
        return None
    place = 2
    while place + 9 < len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker in _JPEG_SIZES:
            return struct.unpack('>HH', data[place + 5 : place + 9])
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            place += 1 if marker == 0xFF else 2
            continue
        place += 2 + struct.unpack('>H', data[place + 2 : place + 4])[0]
    return None


def _check_complete(data: bytes, path: str) -> None:
    """Raise if a JPEG or PNG ends before its end mark.

    The end mark is looked for in the last bytes; only a file without it is
    decoded a second time by Pillow, which refuses truncated files.
    """
    if data[:2] == b'\xff\xd8':
        complete = data.rstrip(b'\x00\r\n').endswith(b'\xff\xd9')
    elif data[:8] == _PNG:
        complete = b'IEND' in data[-64:]
    else:
        complete = False
    if not complete:
        _decode_pillow(data, path)


def _decode_pillow(data: bytes, path: str) -> Image.Image:
    """Decode with Pillow; any failure becomes a CorruptFileError."""
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
        return picture
    except Exception as error:  # Pillow raises many kinds on broken files
        raise CorruptFileError(
            f'cannot decode {path} ({error}); the file is truncated or '
            'damaged: copy it again, or set skip_corrupt=True to replace '
            'it'
        ) from error


def decode_image(data: bytes, path: str, reduce: int = 1) -> np.ndarray:
    """Decode a colour picture; an EXIF rotation is not applied.

    Args:
        data (bytes): The file.
        path (str): Its name, for the error text.
        reduce (int): Decode a JPEG at 1/1, 1/2, 1/4 or 1/8 of its size,
            which is faster. Defaults to 1.

    Returns:
        ndarray: (H, W, 3), BGR, uint8, H and W divided by ``reduce``
        (rounded up).

    Raises:
        CorruptFileError: If the file is truncated, damaged or no picture.
    """
    _check_complete(data, path)
    flag = _REDUCED.get(reduce, cv2.IMREAD_COLOR)
    try:
        image = cv2.imdecode(
            np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error:
        image = None
    if image is None:
        picture = _decode_pillow(data, path).convert('RGB')
        image = np.ascontiguousarray(np.asarray(picture)[..., ::-1])
    return image


def reduction(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """Largest of 1, 2, 4, 8 that keeps both sides at least as wanted.

    Args:
        size (tuple[int]): Height and width of the file.
        wanted (tuple[int]): Least height and width to decode.

    Returns:
        int: 1, 2, 4 or 8.
    """
    for factor in (8, 4, 2):
        if all(s >= factor * w for s, w in zip(size, wanted)):
            return factor
    return 1


def decode_ids(data: bytes, path: str) -> np.ndarray:
    """Decode a map of ids without turning indices into colours.

    Understands 1- to 16-bit grey and palette PNGs (index, not colour),
    32-bit TIFF, and RGB(A) files.

    Args:
        data (bytes): The file.
        path (str): Its name, for the error text.

    Returns:
        ndarray: (H, W), uint8, uint16 or int32 ids; or (H, W, 3 | 4), RGB
        or RGBA uint8, for colour files.

    Raises:
        CorruptFileError: If the file is truncated, damaged or no picture.
    """
    _check_complete(data, path)
    if data[:8] == _PNG and len(data) > 26 and data[25] == 0 and data[24] >= 8:
        ids = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if ids is not None and ids.ndim == 2:
            return ids
    picture = _decode_pillow(data, path)
    if picture.mode in ('1', 'L') and data[:8] == _PNG and data[25] == 0:
        ids = np.asarray(picture.convert('L'))
        return ids // (255 // (2 ** data[24] - 1)) if data[24] < 8 else ids
    if picture.mode == 'LA':
        picture = picture.getchannel('L')
    ids = np.asarray(picture)
    if ids.dtype == bool:
        ids = ids.astype(np.uint8)
    if ids.dtype.kind == 'f':
        ids = np.rint(ids)
    if ids.dtype.kind == 'f' or ids.dtype.itemsize > 2:
        return ids.astype(np.int32)
    return ids


def id24(colour: np.ndarray) -> np.ndarray:
    """Ids coded as R + 256 G + 65536 B (+ 2**24 A), as panoptic PNGs do.

    Args:
        colour (ndarray): (H, W, 3 | 4), RGB(A), uint8.

    Returns:
        ndarray: (H, W), int64.
    """
    ids = colour[..., :3].astype(np.int64) @ np.array([1, 256, 65536])
    if colour.shape[-1] == 4 and not (colour[..., 3] == 255).all():
        ids = ids + (colour[..., 3].astype(np.int64) << 24)
    return ids
