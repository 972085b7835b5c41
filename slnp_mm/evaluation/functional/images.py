"""Quantize and resize images for a scorer."""

import cv2
import numpy as np
import torch
from torch import Tensor

from ...errors import SLNPError

RESIZE_FILTERS = {
    'nearest': cv2.INTER_NEAREST,
    'bilinear': cv2.INTER_LINEAR,
    'bicubic': cv2.INTER_CUBIC,
    'area': cv2.INTER_AREA,
    'lanczos': cv2.INTER_LANCZOS4,
}


def to_uint8(image: Tensor) -> np.ndarray:
    """Quantize one image exactly as saving it as a PNG does.

    Source:
        ours: generated images are rounded to the nearest of 256 levels and clipped before scoring,
            so that a tensor and the file written from it score the same.

    Args:
        image (Tensor): (3, H, W), float in 0..255 (clipped) or uint8.

    Returns:
        np.ndarray: (H, W, 3) uint8, channel order kept.

    Raises:
        SLNPError: If the shape is not (3, H, W) or a value is not finite.
    """
    if image.ndim != 3 or image.shape[0] != 3:
        raise SLNPError(f'Expected an image of shape (3, H, W), got {tuple(image.shape)}.')
    if image.dtype != torch.uint8:
        image = image.detach().float()
        if not bool(torch.isfinite(image).all()):
            raise SLNPError(
                'Expected finite pixel values, got NaN or inf: the generator has diverged.'
            )
        image = image.round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(image.cpu().permute(1, 2, 0).numpy())


def resize_image(image: np.ndarray, size: tuple[int, int], filter_name: str) -> np.ndarray:
    """Resize a (H, W, 3) uint8 image to (height, width) with a filter of ``RESIZE_FILTERS``."""
    if image.shape[:2] == size:
        return image
    return cv2.resize(image, size[::-1], interpolation=RESIZE_FILTERS[filter_name])
