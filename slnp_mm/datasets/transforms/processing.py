"""Resize, crop and flip image, label and instances together."""

from functools import partial

import cv2
import numpy as np
from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...errors import DataError, SLNPError

MODES = ('square', 'short_side')


@TRANSFORMS.register_module()
class SLNPResize(BaseTransform):
    """Resize to a fixed size, or so that the shorter side has a given length.

    Images are area-averaged when shrinking and bicubic when growing; ids use the nearest pixel, so
    no new id appears.

    Args:
        size (int | tuple[int], optional): Side of the square, or (height, width); one number for
            'short_side'. Pixels, >= 1. None uses the data set's ``image_size``.
        mode (str): 'square' (aspect not kept) or 'short_side' (kept).

    Raises:
        SLNPError: If the mode is unknown or the size does not fit it.
        DataError: If neither transform nor data set gives a size, or ``SLNPLoadImage`` decoded an
            image smaller than this size.
    """

    def __init__(self, size: int | tuple[int, int] | None = None, mode: str = 'square') -> None:
        if mode not in MODES:
            raise SLNPError(f'mode must be one of {MODES}, got {mode!r}')
        if mode == 'short_side' and not isinstance(size, (int, type(None))):
            raise SLNPError(f'short_side takes one length, got {size}')
        self.size = None if size is None else as_sides(size)
        self.mode = mode

    def target(self, shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
        """Height and width for an image of ``shape``."""
        if self.mode == 'square':
            return size
        short = min(size)
        scale = short / min(shape)
        return tuple(max(short, round(side * scale)) for side in shape)

    def transform(self, results: dict) -> dict:
        """Resize ``img``, ``label`` and ``instances``, where present."""
        shape = results['label'].shape if 'label' in results else results['img'].shape[:2]
        size = self.size
        if size is None:
            if results.get('image_size') is None:
                raise DataError(
                    'SLNPResize has no size; give it one, or set image_size of the dataset'
                )
            size = as_sides(results['image_size'])
        height, width = self.target(shape, size)
        if 'img' in results:
            _check_detail(results, height, width)
            results['img'] = _resize_image(results['img'], height, width)
            results['img_shape'] = (height, width)
        # the source pixel at each new pixel's center
        nearest = partial(cv2.resize, dsize=(width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        if 'label' in results:
            results['label'] = nearest(results['label'])
        if 'instances' in results:
            results['instances'] = np.stack([*map(nearest, results['instances'])])
        return results


def as_sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width from one side or both; an SLNPError if one is below 1."""
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise SLNPError(f'size must be one side or (height, width), >= 1, got {size}')
    return sides


def _check_detail(results: dict, height: int, width: int) -> None:
    """Raise if reduced decoding lost detail that is needed."""
    now = results['img'].shape[:2]
    reduced = results.get('img_reduced', 1) > 1
    if reduced and (height > now[0] or width > now[1]):
        raise DataError(
            f'SLNPResize wants {width}x{height}, but SLNPLoadImage decoded '
            f'{results.get("img_path", "the image")} at {now[1]}x{now[0]} only (width x height); '
            'give decode_size of SLNPLoadImage the size of SLNPResize, or None'
        )


def _resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize by area if both sides shrink, else bicubically.

    The area filter runs in two steps, bilinear to an integer multiple of the new size, then the
    mean of blocks: half the time of OpenCV's fractional area filter, and within 1 grey level (root
    mean square) of it on real images.
    """
    old = image.shape[:2]
    if height > old[0] or width > old[1]:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    rows, cols = (
        new * (1 if new == now else max(2, round(now / new)))
        for new, now in zip((height, width), old)
    )
    image = cv2.resize(image, (cols, rows), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


@TRANSFORMS.register_module()
class SLNPCrop(BaseTransform):
    """Crop a window.

    Args:
        size (int | tuple[int]): Side, or (height, width), pixels, >= 1.
        mode (str): 'random' (from numpy's global generator) or 'centre'.

    Raises:
        SLNPError: If the mode or the size is wrong.
        DataError: If an image is smaller than the window.
    """

    def __init__(self, size: int | tuple[int, int], mode: str = 'random') -> None:
        if mode not in ('random', 'centre'):
            raise SLNPError(f"mode must be 'random' or 'centre', got {mode!r}")
        self.size = as_sides(size)
        self.mode = mode

    def transform(self, results: dict) -> dict:
        """Crop ``img``, ``label`` and ``instances``, where present."""
        shape = results['img'].shape[:2]
        if 'label' in results and results['label'].shape != shape:
            raise DataError(
                f'SLNPCrop needs image and label of the same size, got {shape} and '
                f'{results["label"].shape}; with decode_size in SLNPLoadImage, put SLNPResize '
                'before SLNPCrop'
            )
        room = [s - c for s, c in zip(shape, self.size)]
        if min(room) < 0:
            raise DataError(
                f'{results.get("img_path", "image")} is {shape[1]}x{shape[0]}, smaller than the '
                f'crop {self.size[1]}x{self.size[0]} (width x height); put SLNPResize before it'
            )
        if self.mode == 'random':
            top, left = (int(np.random.randint(r + 1)) for r in room)
        else:
            top, left = (r // 2 for r in room)
        window = (..., slice(top, top + self.size[0]), slice(left, left + self.size[1]))
        results['img'] = results['img'][window[1:]]
        for key in ('label', 'instances'):
            if key in results:
                results[key] = results[key][window]
        results['img_shape'] = self.size
        return results


@TRANSFORMS.register_module()
class SLNPFlip(BaseTransform):
    """Flip horizontally with probability ``prob``.

    Raises:
        SLNPError: If ``prob`` is outside 0..1.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise SLNPError(f'prob must be in 0..1, got {prob}')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Flip ``img``, ``label`` and ``instances``, where present."""
        results['flip'] = bool(np.random.random() < self.prob)
        if results['flip']:
            results['img'] = cv2.flip(results['img'], 1)
            for key in ('label', 'instances'):
                if key in results:
                    results[key] = results[key][..., ::-1]
        return results
