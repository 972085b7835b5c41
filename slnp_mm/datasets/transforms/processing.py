"""Resize and flip image, label and instances together."""

from functools import partial

import cv2
import numpy as np
from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...errors import DataError, SLNPError


@TRANSFORMS.register_module()
class SLNPResize(BaseTransform):
    """Resize to a fixed size, whatever the aspect.

    Images are area-averaged when shrinking and bicubic when growing; ids use the nearest pixel, so
    no new id appears.

    Args:
        size (int | tuple[int], optional): Side of the square, or (height, width), pixels, >= 1.
            None uses the data set's ``image_size``.

    Raises:
        SLNPError: If the size is no size.
        DataError: If neither transform nor data set gives a size, or ``SLNPLoadImage`` decoded an
            image smaller than this size.
    """

    def __init__(self, size: int | tuple[int, int] | None = None) -> None:
        self.size = None if size is None else as_sides(size)

    def transform(self, results: dict) -> dict:
        """Resize ``img``, ``label`` and ``instances``, where present."""
        size = self.size or results.get('image_size')
        if size is None:
            raise DataError('SLNPResize has no size; give it one, or set image_size of the dataset')
        height, width = as_sides(size)
        if 'img' in results:
            now = results['img'].shape[:2]
            if results.get('img_reduced', 1) > 1 and (height > now[0] or width > now[1]):
                raise DataError(
                    f'SLNPResize wants {width}x{height}, but {results["img_path"]} was decoded at '
                    f'{now[1]}x{now[0]} (width x height), enough for image_size of the data set; '
                    'set image_size to the size of SLNPResize'
                )
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
