"""Image grids: one row per image, one titled column per kind of image."""

from collections.abc import Sequence

import cv2
import numpy as np

BACKGROUND = 255
FONT = cv2.FONT_HERSHEY_SIMPLEX


def color_label(label: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Color (H, W) ids by an RGB palette; (H, W, 3) uint8, ids outside it (255) are black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = np.asarray(palette, np.uint8)[:256]
    return table[np.clip(label, 0, 255).astype(np.uint8)]


def color_attention(
    attention: np.ndarray,
    classes: np.ndarray | None,
    palette: Sequence[Sequence[int]],
    size: tuple[int, int],
) -> np.ndarray:
    """Color each sub-region by the class of the instance it attends to most (paper, fig. 12).

    The brightness is that instance's weight.

    Args:
        attention (np.ndarray): (N_h, N_w, T) float, 0..1, sum 1 over T.
        classes (np.ndarray, optional): (T,) class of each instance, -1 for none; ``None`` for grey.
        palette (Sequence[Sequence[int]]): RGB of each class.
        size (tuple[int, int]): Height, width of the result in pixels.

    Returns:
        np.ndarray: (size[0], size[1], 3) uint8 RGB.
    """
    weight = attention.max(axis=2)
    if classes is None:
        color = np.full(weight.shape + (3,), 255, np.float32)
    else:
        top = np.asarray(classes)[attention.argmax(axis=2)]
        color = color_label(np.where(top < 0, 255, top), palette)
    painted = np.round(color * np.clip(weight, 0, 1)[..., None])
    return cv2.resize(painted.astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_NEAREST)


def make_grid(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str] | None = None,
    cell_size: int | None = None,
    gap: int = 4,
) -> np.ndarray:
    """Lay out images in rows under column titles.

    Args:
        rows (Sequence[Sequence[np.ndarray]]): Images, (h, w, 3) uint8 RGB of any size; at least one
            row, all of the same length.
        titles (Sequence[str], optional): One per column.
        cell_size (int, optional): Height of a cell in pixels. Defaults to that of the tallest
            image, at least 128. Smaller images are upsampled by nearest neighbor, so that pixels
            stay visible.
        gap (int): White pixels between cells.

    Returns:
        np.ndarray: (H, W, 3) uint8 RGB.
    """
    height = cell_size or max(128, max(p.shape[0] for r in rows for p in r))
    width = max(1, round(height * max(p.shape[1] / p.shape[0] for r in rows for p in r)))
    head = 0 if titles is None else max(20, height // 8)
    shape = (head + gap + len(rows) * (height + gap), gap + len(rows[0]) * (width + gap), 3)
    grid = np.full(shape, BACKGROUND, np.uint8)

    for r, row in enumerate(rows):
        top = head + gap + r * (height + gap)
        for c, image in enumerate(row):
            left = gap + c * (width + gap)
            method = cv2.INTER_NEAREST if image.shape[0] <= height else cv2.INTER_AREA
            cell = cv2.resize(image, (width, height), interpolation=method)
            grid[top : top + height, left : left + width] = cell
    for c, title in enumerate(titles or ()):
        _write(grid, title, gap + c * (width + gap), width, head)
    return grid


def _write(grid: np.ndarray, text: str, left: int, width: int, head: int) -> None:
    """Center a title above its column, shrunk until it fits."""
    scale = head / 36
    while True:
        (w, h), _ = cv2.getTextSize(text, FONT, scale, 1)
        if w <= width or scale < 0.2:
            break
        scale *= 0.9
    place = (left + max(0, (width - w) // 2), (head + h) // 2)
    cv2.putText(grid, text, place, FONT, scale, (20, 20, 20), 1, cv2.LINE_AA)
