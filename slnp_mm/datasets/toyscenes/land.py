"""Stuff of ToyScenes: sky, clouds, mountains, ground, road and water."""

import cv2
import numpy as np

from .canvas import Canvas, ellipse_points
from .palette import CLOUD, GRASS, MOUNTAIN, ROAD, SKY, WATER, pick


def draw_sky(canvas: Canvas, horizon: float) -> None:
    """Draw the sky: gradient to the horizon and the glow of the sun."""
    side, light, rng = canvas.side, canvas.light, canvas.rng
    ramp = np.arange(side, dtype=np.float32)[:, None, None]
    ramp = np.clip(ramp / max(horizon, 1), 0, 1)
    paint = (1 - ramp) * np.float32(light.zenith) + ramp * np.float32(light.horizon)

    # light around the sun
    sun_y = rng.uniform(0.1, 0.8) * horizon
    place = np.arange(side, dtype=np.float32) / side
    across = np.exp(-((place - canvas.sun) ** 2) / 0.035)[None, :, None]
    down = np.exp(-((place - sun_y / side) ** 2) / 0.035)[:, None, None]
    glow = 0.75 * across * down
    paint = paint * (1 - glow) + glow * np.float32(light.glow)
    paint = paint * canvas.texture(side, side, 0.012, coarse=True)
    canvas.begin(SKY)
    canvas.paint(np.ones((side, side), bool), (0, 0), paint, lit=False)


def draw_cloud(canvas: Canvas, horizon: float) -> None:
    """Draw one cloud: a flat-bottomed heap of puffs, darker below."""
    side, rng, light = canvas.side, canvas.rng, canvas.light
    width = rng.uniform(0.16, 0.42) * side
    height = width * rng.uniform(0.22, 0.38)
    cx = rng.uniform(0, side)
    cy = rng.uniform(0.12, 0.7) * horizon
    x0, y0 = max(int(cx - 0.75 * width), 0), max(int(cy - 1.2 * height), 0)
    x1, y1 = min(int(cx + 0.75 * width), side), min(int(cy + 0.5 * height), side)
    if x1 - x0 < 6 or y1 - y0 < 6:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for _ in range(rng.integers(6, 10)):
        px = rng.normal(0, 0.24) * width
        radius = height * rng.uniform(0.35, 0.8) * np.exp(-((px / (0.5 * width)) ** 2))
        centre = (int(cx + px - x0), int(cy - 0.5 * radius - y0))
        axes = (int(1.5 * radius) + 1, int(radius) + 1)
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1)
    mask[int(cy + 0.15 * height) - y0 :] = 0
    ramp = np.linspace(1.05, 0.84, y1 - y0)[:, None, None]
    white = np.float32((250, 250, 250)) * canvas.tint.clip(0.62)
    color = 0.72 * white + 0.28 * np.float32(light.glow)
    factor = ramp * canvas.texture(y1 - y0, x1 - x0, 0.025, coarse=True)
    canvas.begin(CLOUD)
    canvas.paint(mask > 0, (x0, y0), color, factor, lit=False)


def _ridge(rng: np.random.Generator, num: int, rough: float) -> np.ndarray:
    """Heights of a ridge by midpoint displacement, (num, ), about -1..1."""
    line = rng.uniform(-0.6, 0.6, 3)
    step = rough
    while len(line) < num:
        mid = (line[1:] + line[:-1]) / 2 + rng.normal(0, step, len(line) - 1)
        line = np.insert(line, np.arange(1, len(line)), mid)
        step *= 0.52
    return np.interp(np.linspace(0, 1, num), np.linspace(0, 1, len(line)), line)


def draw_mountain(canvas: Canvas, horizon: float, far: bool) -> None:
    """Draw a range of mountains, blue and pale when far, with snow."""
    side, rng = canvas.side, canvas.rng
    high = rng.uniform(0.22, 0.34) if far else rng.uniform(0.1, 0.18)
    heights = (0.55 + 0.45 * _ridge(rng, side, 0.5)).clip(0.03, 1.2)
    tops = horizon - high * side * heights
    y0, y1 = int(max(tops.min(), 0)), min(int(horizon) + 2, side)
    rows = np.arange(y0, y1)[:, None]
    mask = rows >= tops[None]
    base = np.float32((128, 116, 112) if far else (84, 104, 104))
    color = base + rng.uniform(-14, 14, 3)

    # lit and shaded slopes, snow above a line, haze
    slope = np.gradient(cv2.blur(tops[None].astype(np.float32), (9, 1))[0])
    toward = 1 if canvas.sun < 0.5 else -1
    shade = 1 - canvas.light.contrast * np.tanh(toward * slope)[None, :, None]
    shade = shade * canvas.texture(y1 - y0, side, 0.13, stretch=(6, 3))
    paint = color * shade
    if far and rng.random() < 0.65:
        line = tops.min() + 0.32 * (horizon - tops.min())
        wobble = 7 * canvas.texture(1, side, 1.0, stretch=(1, 4))[0, :, 0]
        snow = rows < (line + wobble)[None]
        paint[snow] = np.clip(1.9 * paint[snow] + 30, 0, 250)
    haze = 0.42 if far else 0.15
    paint = (1 - haze) * paint * canvas.tint + haze * np.float32(canvas.light.horizon)
    canvas.begin(MOUNTAIN)
    canvas.paint(mask, (0, y0), paint, lit=False)


def draw_grass(canvas: Canvas, horizon: float) -> None:
    """Draw a meadow from the horizon down, coarser towards the viewer."""
    side, rng = canvas.side, canvas.rng
    y0 = int(horizon)
    height = side - y0
    color = pick(rng, ((52, 148, 92), (60, 160, 120), (44, 126, 70), (70, 170, 150)))
    near = np.linspace(0.86, 1.06, height)[:, None, None]
    blades = canvas.texture(height, side, 1.0, stretch=(3.0, 1.2)) - 1
    factor = near * (1 + blades * np.linspace(0.05, 0.17, height)[:, None, None])
    factor = factor * canvas.texture(height, side, 0.09, coarse=True, stretch=(0.6, 2.0))
    canvas.begin(GRASS)
    canvas.paint(np.ones((height, side), bool), (0, y0), color, factor)


class Road:
    """A straight road from the lower edge to a vanishing point on the horizon."""

    def __init__(self, canvas: Canvas, horizon: float) -> None:
        rng, side = canvas.rng, canvas.side
        self.side, self.horizon = side, horizon
        self.vanish_x = rng.uniform(0.35, 0.65) * side
        self.centre_x = rng.uniform(0.3, 0.7) * side
        self.half = rng.uniform(0.34, 0.5) * side

    def at(self, depth: float, across: float) -> np.ndarray:
        """Point at ``depth`` (0 far, 1 near) and ``across`` (-1..1)."""
        y = self.horizon + depth * (self.side - self.horizon)
        middle = self.vanish_x + depth * (self.centre_x - self.vanish_x)
        half = (0.03 + 0.97 * depth) * self.half
        return np.array([middle + across * half, y])

    def draw(self, canvas: Canvas) -> None:
        """Draw asphalt, kerb lines and a dashed middle line."""
        rng = canvas.rng
        shade = rng.uniform(78, 116)
        color = np.float32([shade * 1.04, shade, shade * 0.98])
        canvas.begin(ROAD)
        canvas.polygon(self._strip((0.0, 1.02), (-1, 1)), color, grain=0.06)
        paint = np.float32((226, 232, 234))
        for side in (-0.93, 0.9):
            line = self._strip((0.02, 1.02), (side, side + 0.03))
            canvas.polygon(line, paint * 0.86, detail=True)
        start = rng.uniform(0, 0.1)
        for k in range(8):
            a, b = start + 0.004 + np.array([k, k + 0.5]) ** 1.9 / 38
            if a > 1:
                break
            canvas.polygon(self._strip((a, min(b, 1.02)), (-0.022, 0.022)), paint, detail=True)

    def _strip(self, depths: tuple[float, float], sides: tuple[float, float]) -> list:
        """Corners of a part of the road, from one depth and side to the others."""
        (far, near), (left, right) = depths, sides
        return [self.at(*spot) for spot in ((far, left), (far, right), (near, right), (near, left))]


def draw_water(canvas: Canvas, horizon: float) -> None:
    """Draw a lake that mirrors the sky, with ripples and glints."""
    side, rng, light = canvas.side, canvas.rng, canvas.light
    top = horizon + rng.uniform(0.0, 0.12) * side
    centre = (rng.uniform(0.1, 0.9) * side, top + rng.uniform(0.12, 0.26) * side)
    axes = (rng.uniform(0.35, 0.8) * side, centre[1] - top)
    points = ellipse_points(centre, axes, 40)
    points[:, 0] += rng.normal(0, 0.008 * side, len(points))
    points[:, 1] = points[:, 1].clip(horizon + 1)
    mask, corner = canvas.cut_out(points)
    height, width = mask.shape
    ramp = np.linspace(0.25, 1, height)[:, None, None]
    deep = 0.75 * np.float32(light.zenith) + np.float32((30, 8, -12))
    mirror = (1 - ramp) * np.float32(light.horizon) + ramp * deep
    ripples = canvas.texture(height, width, 0.11, stretch=(1.5, 14))
    paint = mirror * ripples * (0.96, 0.9, 0.82)
    paint = paint + 30 * (ripples > 1.2)
    canvas.begin(WATER)
    canvas.paint(mask > 0, corner, paint, lit=False)
