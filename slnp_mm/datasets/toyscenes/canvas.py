"""The drawing surface of ToyScenes: colour, class and object in one go."""

from collections.abc import Sequence

import cv2
import numpy as np

from ..codec import UNLABELLED
from .palette import Light

_NOISE_SIZE = 1024


def make_noise(seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Make the two noise fields that all textures are cut from.

    Args:
        seed (int): Seed of the fields. Defaults to 7.

    Returns:
        tuple[ndarray]: A fine and a coarse field, each (1024, 1024),
        float32, mean 0, standard deviation 1.
    """
    rng = np.random.default_rng(seed)
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

    Later shapes hide earlier ones (painter's algorithm) in the picture, the
    label map and the instance map alike.

    Args:
        size (int): Side of the finished scene, pixels.
        light (Light): Time of day.
        sun (float): Horizontal place of the sun, 0 (left) .. 1 (right).
        rng (Generator): Random source.
        noise (tuple[ndarray]): Fine and coarse field of ``make_noise``.
    """

    def __init__(
        self,
        size: int,
        light: Light,
        sun: float,
        rng: np.random.Generator,
        noise: tuple[np.ndarray, np.ndarray],
    ) -> None:
        self.side = 2 * size
        self.light, self.sun, self.rng, self.noise = light, sun, rng, noise
        self.tint = np.asarray(light.tint, np.float32)
        self.image = np.zeros((self.side, self.side, 3), np.uint8)
        self.label = np.full((self.side, self.side), UNLABELLED, np.uint8)
        self.ids = np.full((self.side, self.side), UNLABELLED, np.uint8)
        self.num_ids = 0

    def new_id(self) -> int:
        """Return the id of a new object, 0..254."""
        if self.num_ids >= UNLABELLED:
            raise ValueError(f'a scene can have {UNLABELLED} objects, got one more')
        self.num_ids += 1
        return self.num_ids - 1

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
            height (int): Height in pixels.
            width (int): Width in pixels.
            amount (float): Standard deviation, no unit.
            coarse (bool): Slow noise instead of fine. Defaults to False.
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

    def polygon(
        self,
        points: Sequence,
        colour: np.ndarray,
        cls: int | None,
        obj: int | None,
        factor: np.ndarray | None = None,
        grain: float = 0.0,
    ) -> None:
        """Fill a polygon.

        Args:
            points (Sequence): Corners (x, y) in canvas pixels.
            colour (ndarray): Unlit BGR colour, 0..255.
            cls (int, optional): Class; None paints the picture only (for
                details and shadows of an object already drawn).
            obj (int, optional): Object id, from ``new_id``.
            factor (ndarray, optional): Brightness, broadcast to the box.
            grain (float): Amount of fine noise. Defaults to 0.
        """
        points = np.asarray(points, np.float32)
        if not grain and (factor is None or np.ndim(factor) == 0):
            self._plain(points, colour * self.tint * (1 if factor is None else factor), cls, obj)
            return
        x0, y0, x1, y1 = self.box(points)
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [np.round(points - (x0, y0)).astype(np.int32)], 1)
        self.stamp(mask > 0, (x0, y0), colour, cls, obj, factor, grain)

    def _plain(
        self, points: np.ndarray, colour: np.ndarray, cls: int | None, obj: int | None
    ) -> None:
        """Fill a polygon with one colour; much faster than ``stamp``."""
        corners = [np.round(points).astype(np.int32)]
        cv2.fillPoly(self.image, corners, np.clip(colour, 0, 255).astype(int).tolist())
        if cls is not None:
            cv2.fillPoly(self.label, corners, int(cls))
            cv2.fillPoly(self.ids, corners, UNLABELLED if obj is None else int(obj))

    def stamp(
        self,
        mask: np.ndarray,
        corner: tuple[int, int],
        colour: np.ndarray,
        cls: int | None,
        obj: int | None,
        factor: np.ndarray | None = None,
        grain: float = 0.0,
        lit: bool = True,
    ) -> None:
        """Paint a boolean mask, whose top left corner lies at ``corner``.

        ``colour`` is one BGR colour or an array (h, w, 3) of the mask's
        size; ``lit=False`` leaves the light's tint off (sky, lamps).
        """
        height, width = mask.shape
        x0, y0 = corner
        paint = np.broadcast_to(colour, (height, width, 3))
        if lit:
            paint = paint * self.tint
        if factor is not None:
            paint = paint * factor
        if grain:
            paint = paint * self.texture(height, width, grain)
        area = (slice(y0, y0 + height), slice(x0, x0 + width))
        np.copyto(self.image[area], np.clip(paint, 0, 255).astype(np.uint8), where=mask[..., None])
        if cls is not None:
            self.label[area][mask] = cls
            self.ids[area][mask] = UNLABELLED if obj is None else obj

    def darken(self, points: Sequence, amount: float) -> None:
        """Throw a shadow on what is already drawn; labels stay."""
        points = np.asarray(points, np.float32)
        x0, y0, x1, y1 = self.box(points)
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.float32)
        cv2.fillPoly(mask, [np.round(points - (x0, y0)).astype(np.int32)], 1)
        mask = cv2.blur(mask, (5, 5))[..., None] * amount
        view = self.image[y0:y1, x0:x1]
        view[:] = view * (1 - mask)

    def finish(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reduce to the final size: area for colours, nearest for ids.

        Returns:
            tuple[ndarray]: Image (S, S, 3), BGR uint8; label (S, S), uint8;
            object ids (S, S), uint8; 255 = none.
        """
        size = self.side // 2
        image = cv2.resize(self.image, (size, size), interpolation=cv2.INTER_AREA)
        return (image, self.label[1::2, 1::2].copy(), self.ids[1::2, 1::2].copy())


def ellipse_points(
    centre: tuple[float, float], axes: tuple[float, float], num: int = 20
) -> np.ndarray:
    """Corners of an ellipse, (num, 2), x and y in canvas pixels."""
    angle = np.linspace(0, 2 * np.pi, num, endpoint=False)
    return np.stack([centre[0] + axes[0] * np.cos(angle), centre[1] + axes[1] * np.sin(angle)], 1)
