"""Other layouts from a label map."""

import cv2
import numpy as np

ZOOM, SHIFT, BEND = 1.25, 0.12, 0.02  # factor, and shares of a side


def warp(rng: np.random.Generator, *maps: np.ndarray | None) -> list[np.ndarray | None]:
    """Zoom, shift and bend maps (H, W) of integers together, each by its nearest pixel.

    Width and height are zoomed by 1 / ZOOM to ZOOM, independently. What comes in from outside is
    mirrored. None stays None.
    """
    shape = maps[0].shape[:2]
    grid = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    for axis, side in enumerate(shape):
        zoom = ZOOM ** rng.uniform(-1, 1)
        middle = (0.5 + rng.uniform(-SHIFT, SHIFT)) * side
        bend = rng.uniform(-BEND, BEND, (4, 4)).astype(np.float32) * side
        bend = cv2.resize(bend, shape[::-1], interpolation=cv2.INTER_CUBIC)
        grid[axis] = (grid[axis] - side / 2) * zoom + middle + bend
    rows, cols = grid

    def sample(one: np.ndarray) -> np.ndarray:
        floats = one.astype(np.float32)  # remap takes no 32-bit integers
        return cv2.remap(
            floats, cols, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT
        ).astype(one.dtype)

    return [None if one is None else sample(one) for one in maps]
