"""The drawing surface of ToyScenes: sets color, class and object at once."""

from functools import cache

import cv2
import numpy as np

from ..codec import UNLABELLED
from .palette import LIGHTS, bgr


@cache
def _noise(width: float) -> np.ndarray:
    """Blurred noise, (1024, 1024), float32, mean 0, standard deviation 1."""
    white = np.random.default_rng(7).standard_normal((1024, 1024), np.float32)
    field = cv2.GaussianBlur(white, (0, 0), width)
    return (field - field.mean()) / field.std()


class Canvas:
    """A scene at twice its final size; colors are BGR, 0..255, points (x, y) in its pixels."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.side, self.rng = 2 * size, rng
        light = LIGHTS[rng.choice(len(LIGHTS), p=[odds for odds, *_ in LIGHTS])]
        _, sky, tint, self.contrast, self.lit = light
        self.tint, (self.zenith, self.haze, self.glow) = np.float32(tint), bgr(sky)
        self.street, self.sun = rng.random() < 0.5, rng.uniform(0.05, 0.95) * self.side
        self.lean = 1 if self.sun < self.side / 2 else -1  # where shadows fall
        self.horizon = self.side * rng.uniform(0.34, 0.46 if self.street else 0.56)
        self.rows = np.arange(self.side, dtype=np.float32)[:, None, None]
        self.cols = self.rows.reshape(1, -1, 1)
        self.image = np.zeros((self.side, self.side, 3), np.uint8)
        self.label = np.full((self.side, self.side), UNLABELLED, np.uint8)
        self.ids, self.num_ids = self.label.copy(), 0

    def begin(self, cls: int) -> None:
        """Start a new object of a class, or unlabelled; everything drawn next belongs to it."""
        self.cls, self.obj = cls, UNLABELLED if cls == UNLABELLED else self.num_ids
        self.num_ids += cls != UNLABELLED

    def pick(self, colors: np.ndarray) -> np.ndarray:
        """One of the colors, slightly varied."""
        return np.clip(self.rng.choice(colors) + np.float32(self.rng.uniform(-12, 12, 3)), 0, 255)

    def texture(self, amount: float, tall: float = 1, wide: float = 1, blur: int = 1) -> np.ndarray:
        """Stretched noise, (side, side, 1), with mean 1 and standard deviation ``amount``."""
        height, width = (min(1024, int(self.side / scale)) for scale in (tall, wide))
        top, left = self.rng.integers((1024 - height + 1, 1024 - width + 1))
        piece = _noise(blur)[top : top + height, left : left + width]
        return 1 + amount * cv2.resize(piece, (self.side, self.side))[..., None]

    def fill(self, points: np.ndarray, color: np.ndarray, factor: np.ndarray | float = 1) -> None:
        """Fill a polygon with a color times a brightness or a texture."""
        self.paint(self.inside(points), color * self.tint, factor)

    def paint(self, mask: np.ndarray, colors: np.ndarray, factor: np.ndarray | float = 1) -> None:
        """Paint a mask, (side, side), with a color or image, light included, times a factor."""
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        area = slice(y, y + height), slice(x, x + width)
        colors, factor = (np.broadcast_to(v, self.image.shape)[area] for v in (colors, factor))
        mask = mask[area] > 0
        self.image[area][mask] = np.clip((colors * factor)[mask], 0, 255)
        self.label[area][mask], self.ids[area][mask] = self.cls, self.obj

    def decorate(self, points: np.ndarray, color: np.ndarray) -> None:
        """Fill a polygon in the image only, not in the label and ids."""
        self.image[self.inside(points) > 0] = np.clip(color * self.tint, 0, 255)

    def shade(self, x: float, y: float, width: float) -> None:
        """Cast a flat shadow on what is drawn."""
        self.image[self.inside(ellipse(x, y, width, 0.18 * width)) > 0] //= 2

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Pixels of a polygon, (side, side), uint8, 0 or 1."""
        return cv2.fillPoly(np.zeros_like(self.label), [np.round(points).astype(np.int32)], 1)


def ellipse(x: float, y: float, width: float, height: float) -> np.ndarray:
    """Corners of an ellipse with these half axes, (24, 2)."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], 1)


def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Corners of an upright rectangle, (4, 2)."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
