"""Mirror picture, label and instances together."""

import cv2
import numpy as np
from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
class SLNPFlip(BaseTransform):
    """Mirror left and right with some probability.

    Args:
        prob (float): Probability, 0..1. Defaults to 0.5.

    Raises:
        ValueError: If ``prob`` is outside 0..1.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must be in 0..1, got {prob}')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Mirror ``img``, ``label`` and ``instances``, where present."""
        results['flip'] = bool(np.random.random() < self.prob)
        if results['flip']:
            results['img'] = cv2.flip(results['img'], 1)
            for key in ('label', 'instances'):
                if key in results:
                    results[key] = results[key][..., ::-1]
        return results
