"""The drawing surface of ToyScenes: color, class and object in one go."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from ..codec import UNLABELLED
from .palette import Light

_NOISE_SIZE = 1024


@cache
def make_noise() -> tuple[np.ndarray, np.ndarray]:
    """Make the fine and the coarse noise field that all textures are cut from.

    Returns:
        tuple[ndarray]: (1024, 1024) each, float32, mean 0, standard deviation 1.
    """
    rng = np.random.default_rng(7)
    fields = []
    for octaves in ((1, 2, 4), (16, 32, 64)):
        total = np.zeros((_NOISE_SIZE, _NOISE_SIZE), np.float32)
        for step in octaves:
            small = rng.standard_normal((_NOISE_SIZE // step,) * 2)
            total += cv2.resize(
                small.astype(np.float32), (_NOISE_SIZE,) * 2, interpolation=cv2.INTER_CUBIC
            )
        fields.append((total - total.mean()) / total.std())
    return fields[0], fields[1]


class Canvas:
    """A scene in the making, drawn at twice its final size.

    Later shapes hide earlier ones (painter's algorithm) in the picture, the label map and the
    instance map alike.

    Args:
        size (int): Side of the finished scene, pixels.
        light (Light): Time of day.
        sun (float): Horizontal position of the sun, 0 (left) .. 1 (right).
        rng (Generator): Random source.
    """

    def __init__(self, size: int, light: Light, sun: float, rng: np.random.Generator) -> None:
        self.side = 2 * size
        self.light, self.sun, self.rng, self.noise = light, sun, rng, make_noise()
        self.tint = np.asarray(light.tint, np.float32)
        self.image = np.zeros((self.side, self.side, 3), np.uint8)
        self.label = np.full((self.side, self.side), UNLABELLED, np.uint8)
        self.ids = np.full((self.side, self.side), UNLABELLED, np.uint8)
        self.cls = self.obj = UNLABELLED
        self.num_ids = 0

    def begin(self, cls: int) -> None:
        """Let all that is drawn next be one new object of a class, or unlabelled."""
        self.cls = self.obj = cls
        if cls != UNLABELLED:
            self.obj, self.num_ids = self.num_ids, self.num_ids + 1

    def texture(
        self,
        height: int,
        width: int,
        amount: float,
        coarse: bool = False,
        stretch: tuple[float, float] = (1, 1),
    ) -> np.ndarray:
        """Cut a random piece of noise.

        Args:
            height (int): Pixels.
            width (int): Pixels.
            amount (float): Standard deviation, no unit.
            coarse (bool): Slow noise instead of fine.
            stretch (tuple[float]): Magnification in y and x.

        Returns:
            ndarray: Factors around 1, (height, width, 1), float32.
        """
        field = self.noise[1 if coarse else 0]
        rows = max(1, int(np.ceil(height / stretch[0])))
        cols = max(1, int(np.ceil(width / stretch[1])))
        top = self.rng.integers(max(1, _NOISE_SIZE - rows))
        left = self.rng.integers(max(1, _NOISE_SIZE - cols))
        piece = field[top : top + rows, left : left + cols]
        if piece.shape != (height, width):
            piece = cv2.resize(piece, (width, height))
        return (1.0 + amount * piece)[..., None]

    def box(self, points: np.ndarray) -> tuple[int, int, int, int]:
        """Bounding box of a polygon, cut to the canvas: x0, y0, x1, y1."""
        x0, y0 = np.floor(points.min(0)).astype(int)
        x1, y1 = np.ceil(points.max(0)).astype(int) + 1
        return (max(x0, 0), max(y0, 0), min(x1, self.side), min(y1, self.side))

    def cut_out(self, points: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """Mask of a polygon in its :meth:`box`, (h, w), float32, 0 or 1; its top left corner."""
        x0, y0, x1, y1 = self.box(points)
        mask = np.zeros((max(y1 - y0, 0), max(x1 - x0, 0)), np.float32)
        if mask.size:
            cv2.fillPoly(mask, [np.round(points - (x0, y0)).astype(np.int32)], 1)
        return mask, (x0, y0)

    def polygon(
        self,
        points: Sequence,
        color: np.ndarray,
        factor: np.ndarray | float = 1.0,
        grain: float = 0.0,
        detail: bool = False,
    ) -> None:
        """Fill a polygon.

        Args:
            points (Sequence): Corners (x, y) in canvas pixels.
            color (ndarray): Unlit BGR color, 0..255.
            factor (ndarray | float): Brightness, broadcast to the box.
            grain (float): Amount of fine noise.
            detail (bool): Paint the picture only, not label and ids.
        """
        points = np.asarray(points, np.float32)
        if grain or np.ndim(factor):
            mask, corner = self.cut_out(points)
            if mask.size:
                self.paint(mask > 0, corner, color, factor, grain)
            return

        # one color: much faster
        corners = [np.round(points).astype(np.int32)]
        paint = np.clip(color * self.tint * factor, 0, 255)
        cv2.fillPoly(self.image, corners, paint.astype(int).tolist())
        if not detail:
            cv2.fillPoly(self.label, corners, self.cls)
            cv2.fillPoly(self.ids, corners, self.obj)

    def paint(
        self,
        mask: np.ndarray,
        corner: tuple[int, int],
        color: np.ndarray,
        factor: np.ndarray | float = 1.0,
        grain: float = 0.0,
        lit: bool = True,
    ) -> None:
        """Paint a boolean mask, whose top left corner lies at ``corner``.

        ``color`` is one BGR color or an array (h, w, 3) of the mask's size; ``lit=False`` leaves
        the light's tint off (sky, lamps).
        """
        height, width = mask.shape
        paint = np.broadcast_to(color, (height, width, 3)) * (self.tint if lit else 1) * factor
        if grain:
            paint = paint * self.texture(height, width, grain)
        area = (slice(corner[1], corner[1] + height), slice(corner[0], corner[0] + width))
        np.copyto(self.image[area], np.clip(paint, 0, 255).astype(np.uint8), where=mask[..., None])
        self.label[area][mask] = self.cls
        self.ids[area][mask] = self.obj

    def darken(self, points: np.ndarray, amount: float) -> None:
        """Throw a shadow on what is already drawn; labels stay."""
        mask, (x0, y0) = self.cut_out(np.asarray(points, np.float32))
        if mask.size:
            mask = cv2.blur(mask, (5, 5))[..., None] * amount
            view = self.image[y0 : y0 + len(mask), x0 : x0 + mask.shape[1]]
            view[:] = view * (1 - mask)

    def finish(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reduce to the final size: area for colors, nearest for ids.

        Returns:
            tuple[ndarray]: Image (S, S, 3), BGR uint8; label and object ids, (S, S), uint8, 255 =
            none.
        """
        size = self.side // 2
        image = cv2.resize(self.image, (size, size), interpolation=cv2.INTER_AREA)
        return image, self.label[1::2, 1::2].copy(), self.ids[1::2, 1::2].copy()


def ellipse_points(
    centre: tuple[float, float], axes: tuple[float, float], num: int = 20
) -> np.ndarray:
    """Corners of an ellipse, (num, 2), x and y in canvas pixels."""
    angle = np.linspace(0, 2 * np.pi, num, endpoint=False)
    return np.stack([centre[0] + axes[0] * np.cos(angle), centre[1] + axes[1] * np.sin(angle)], 1)
