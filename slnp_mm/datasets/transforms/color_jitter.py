"""Vary the colours of the picture alone."""

import cv2
import numpy as np
from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
class SLNPColorJitter(BaseTransform):
    """Vary brightness, contrast and saturation of ``img``.

    Each factor is drawn evenly from 1 - x .. 1 + x.

    Args:
        brightness (float): x of the brightness, 0..1. Defaults to 0.1.
        contrast (float): x of the contrast, 0..1. Defaults to 0.1.
        saturation (float): x of the saturation, 0..1. Defaults to 0.1.

    Raises:
        ValueError: If a strength is outside 0..1.
    """

    def __init__(
        self,
        brightness: float = 0.1,
        contrast: float = 0.1,
        saturation: float = 0.1,
    ) -> None:
        self.strengths = (brightness, contrast, saturation)
        if not all(0 <= x <= 1 for x in self.strengths):
            raise ValueError(
                f'brightness, contrast and saturation must be in 0..1, got {self.strengths}'
            )

    def transform(self, results: dict) -> dict:
        """Change ``img``; label and instances stay."""
        bright, contrast, saturation = (1 + x * np.random.uniform(-1, 1) for x in self.strengths)
        image = results['img'].astype(np.float32) * bright
        grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)
        image = (image - grey.mean()) * contrast + grey.mean()
        grey = (grey - grey.mean()) * contrast + grey.mean()
        image = (image - grey[..., None]) * saturation + grey[..., None]
        results['img'] = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        return results
