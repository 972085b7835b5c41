"""Crop picture, label and instances together."""

import numpy as np
from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..errors import DataError
from .resize import as_sides


@TRANSFORMS.register_module()
class SLNPCrop(BaseTransform):
    """Cut out a window, at random or in the centre.

    Args:
        size (int | tuple[int]): Side, or (height, width), pixels, >= 1.
        mode (str): 'random' (numpy's global random source, which mmengine
            seeds in each worker) or 'centre'.

    Raises:
        ValueError: If the mode or the size is wrong.
        DataError: If a picture is smaller than the window.
    """

    def __init__(self, size: int | tuple[int, int], mode: str = 'random') -> None:
        if mode not in ('random', 'centre'):
            raise ValueError(f"mode must be 'random' or 'centre', got {mode!r}")
        self.size = as_sides(size)
        self.mode = mode

    def transform(self, results: dict) -> dict:
        """Crop ``img``, ``label`` and ``instances``, where present."""
        shape = results['img'].shape[:2]
        if 'label' in results and results['label'].shape != shape:
            raise DataError(
                'SLNPCrop needs picture and label of one size, got '
                f'{shape} and {results["label"].shape}; put SLNPResize '
                'before it where SLNPLoadImage has decode_size'
            )
        room = [s - c for s, c in zip(shape, self.size)]
        if min(room) < 0:
            raise DataError(
                f'{results.get("img_path", "picture")} is {shape[1]}x'
                f'{shape[0]}, smaller than the crop {self.size[1]}x'
                f'{self.size[0]} (width x height); put SLNPResize before'
            )
        if self.mode == 'random':
            top, left = (int(np.random.randint(r + 1)) for r in room)
        else:
            top, left = (r // 2 for r in room)
        window = (
            Ellipsis,
            slice(top, top + self.size[0]),
            slice(left, left + self.size[1]),
        )
        results['img'] = results['img'][window[1:]]
        for key in ('label', 'instances'):
            if key in results:
                results[key] = results[key][window]
        results['img_shape'] = self.size
        return results
