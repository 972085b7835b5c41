"""Draw a ToyScenes image from a seed; ``x``: center, ``base``: lower edge, canvas pixels."""

import cv2
import numpy as np

from ...errors import SLNPError
from ..codec import UNLABELLED
from . import palette as of
from .canvas import Canvas, box, ellipse


def draw_sky(canvas: Canvas) -> None:
    """Draw the sky, bright around the sun, and clouds of puffs with flat bottoms."""
    side, rng, horizon = canvas.side, canvas.rng, canvas.horizon
    sun = (canvas.cols - canvas.sun) ** 2 + (canvas.rows - rng.random() * horizon) ** 2
    glow = 0.75 * np.exp(-sun / (0.035 * side**2))
    sky = canvas.zenith + (canvas.haze - canvas.zenith) * np.clip(canvas.rows / horizon, 0, 1)
    canvas.begin(of.SKY)
    canvas.paint(np.ones_like(canvas.label), sky + glow * (canvas.glow - sky))
    white = 180 * canvas.tint.clip(0.62) + 0.28 * canvas.glow
    for _ in range(rng.integers(4)):
        x, base, width = rng.uniform((0, 0.12, 0.16), (1, 0.7, 0.42)) * (side, horizon, side)
        height, cloud = width * rng.uniform(0.22, 0.38), np.zeros_like(canvas.label)
        for along in rng.normal(0, 0.24, 8):
            puff = height * rng.uniform(0.35, 0.8) * np.exp(-4 * along**2)
            cloud |= canvas.inside(ellipse(x + along * width, base - puff / 2, 1.5 * puff, puff))
        cloud[int(base + 0.15 * height) :] = 0
        shade = np.clip(0.88 + 0.17 * (base - canvas.rows) / height, 0.84, 1.05)
        canvas.begin(of.CLOUD)
        canvas.paint(cloud, white * shade, canvas.texture(0.025, blur=20))


def draw_mountain(canvas: Canvas) -> None:
    """Draw a hazy mountain range, often with snow."""
    side, rng, ridge = canvas.side, canvas.rng, np.full(canvas.side, 0.6)
    for octave in range(1, 8):
        knots = rng.normal(0, 0.4 * 0.55**octave, 2**octave + 1)
        ridge += np.interp(np.arange(side), np.linspace(0, side, len(knots)), knots)
    tops = canvas.horizon - side * rng.uniform(0.14, 0.32) * ridge.clip(0.03, 1.2)
    slope = np.tanh(canvas.lean * np.gradient(tops))[None, :, None]
    rock = of.ROCK * (1 - 0.6 * canvas.contrast * slope) * canvas.texture(0.13, 6, 3)
    if rng.random() < 0.6:
        line = 0.68 * tops.min() + 0.32 * canvas.horizon + 7 * canvas.texture(1, 1, 4)[:1]
        rock = np.where(canvas.rows < line, 1.9 * rock + 30, rock).clip(0, 250)
    canvas.begin(of.MOUNTAIN)
    canvas.paint(canvas.rows[..., 0] >= tops, 0.6 * rock * canvas.tint + 0.4 * canvas.haze)


def draw_water(canvas: Canvas) -> None:
    """Draw a lake that reflects the sky, with ripples and glints."""
    rng, side, ripples = canvas.rng, canvas.side, canvas.texture(0.11, 1.5, 14)
    x, top, deep, wide = rng.uniform((0.1, 0.01, 0.12, 0.35), (0.9, 0.12, 0.26, 0.8)) * side
    y = canvas.horizon + top + deep
    shore = ellipse(x, y, wide, deep) + rng.normal(0, 0.006 * side, (24, 2))
    near = np.clip(0.62 + 0.38 * (canvas.rows - y) / deep, 0.25, 1)
    water = (1 - near) * canvas.haze + near * (0.75 * canvas.zenith + (30, 8, -12))
    canvas.begin(of.WATER)
    canvas.paint(canvas.inside(shore), water * ripples * 0.9 + 30 * (ripples > 1.2))


def draw_building(canvas: Canvas, x: float, base: float, width: float) -> None:
    """Draw a house, or a block in a street: side wall, front, roof and windows."""
    rng, half, wall = canvas.rng, width / 2, canvas.pick(of.WALLS)
    height = width * rng.uniform(0.6, 2.2 if canvas.street else 0.95)
    top, depth = base - height, canvas.lean * width * rng.uniform(0.15, 0.35)
    edge = x + canvas.lean * half  # between front and side
    canvas.begin(of.BUILDING)
    canvas.fill(box(edge, top, edge + depth, base), wall, 0.62)
    front = (1 + 0.4 * canvas.contrast) * canvas.texture(0.045)
    canvas.fill(box(x - half, top, x + half, base), wall, front)
    if height < 1.3 * width and rng.random() < 0.75:
        tile, ridge = canvas.pick(of.TILES), top - width * rng.uniform(0.28, 0.45)
        canvas.fill([(x, ridge), (x + depth, ridge), (edge + depth, top), (edge, top)], tile, 0.8)
        gable = [(x - half - 2, top), (x, ridge), (x + half + 2, top)]
        canvas.fill(gable, tile, canvas.texture(0.08))

    # windows, some lit
    cols = int(np.clip(width / rng.uniform(11, 17), 1, 6))
    rows = int(np.clip(height / rng.uniform(13, 20), 1, 9))
    glass, frame = of.GLASS * rng.uniform(0.55, 1.1), rng.uniform(0.2, 0.3)
    for row, col in np.ndindex(rows, cols):
        pane = box(col + frame, row + frame, col + 1 - frame, row + 0.86)
        color = of.LAMP / canvas.tint if rng.random() < canvas.lit else glass
        canvas.decorate(pane * (width / cols, height / rows) + (x - half, top), color)


def draw_tree(canvas: Canvas, x: float, base: float, height: float) -> None:
    """Draw a conifer or a broad-leaved tree, brighter on the sun's side and at the top."""
    rng, leaf, half = canvas.rng, canvas.pick(of.LEAVES), max(1.5, 0.045 * height)
    canvas.begin(of.TREE)
    canvas.shade(x + canvas.lean * 0.18 * height, base, 0.34 * height)
    canvas.fill(box(x - half, base - 0.4 * height, x + half, base), of.TRUNK)
    crowns = [ellipse(0, 0, 0.32, 0.35) * rng.normal(1, 0.12, (24, 1)) + (0, 0.66)]
    if rng.random() < 0.35:
        layers = (0.3, 0.14), (0.23, 0.39), (0.16, 0.64)
        crowns = [np.array([(-wide, y), (0, y + 0.4), (wide, y)]) for wide, y in layers]
    sun = 1.4 * canvas.lean * (x - canvas.cols) + 1.6 * (base - 0.66 * height - canvas.rows)
    for crown in crowns:
        light = (1 + canvas.contrast * sun / height) * canvas.texture(0.24, 2.2, 2.2)
        canvas.fill(crown * (height, -height) + (x, base), leaf, light)


def draw_car(canvas: Canvas, x: float, base: float, length: float) -> None:
    """Draw a car from the side: cabin, body, windows and wheels."""
    rng, paint, roof = canvas.rng, canvas.pick(of.PAINTS), canvas.rng.uniform(0.35, 0.41)
    scale = rng.choice((-1, 1)) * length, -length

    def place(*points: tuple) -> np.ndarray:
        return np.array(points) * scale + (x, base)

    canvas.begin(of.CAR)
    canvas.shade(x, base, 0.55 * length)
    canvas.fill(place((-0.36, 0.2), (-0.26, roof), (0.12, roof), (0.3, 0.2)), paint, 1.06)
    body = (-0.5, 0.05), (-0.5, 0.17), (-0.46, 0.21), (-0.2, 0.22), (0.4, 0.21), (0.5, 0.16)
    canvas.fill(place(*body, (0.5, 0.05)), paint)
    up, glass = roof - 0.025, of.GLASS * rng.uniform(0.5, 0.9)
    canvas.decorate(place((-0.3, 0.23), (-0.23, up), (-0.08, up), (-0.08, 0.23)), glass)
    canvas.decorate(place((-0.04, 0.23), (-0.04, up), (0.1, up), (0.22, 0.23)), glass)
    for hub in place((-0.3, 0.06), (0.29, 0.06)):
        canvas.fill(ellipse(*hub, 0.084 * length, 0.084 * length), of.IRON, 0.65)
        canvas.decorate(ellipse(*hub, 0.04 * length, 0.04 * length), of.WHITE * 0.65)


def draw_person(canvas: Canvas, x: float, base: float, height: float) -> None:
    """Draw a person: legs, arms, trunk, head and hair."""
    rng, shirt, legs = canvas.rng, canvas.pick(of.CLOTHES), canvas.pick(of.CLOTHES) * 0.6
    wide, step = rng.uniform((0.11, 0.02), (0.15, 0.1)) * height
    hip, neck, face, top = base - np.array((0.46, 0.83, 0.91, 1)) * height
    canvas.begin(of.PERSON)
    canvas.shade(x, base, 0.2 * height)
    for side in (-1, 1):
        foot, half, hand = x + side * step, side * wide / 2, x + side * wide * 1.25
        canvas.fill([(x + 1.4 * half, hip), (x, hip), (foot, base), (foot + half, base)], legs)
        canvas.fill([(x, neck), (hand, neck), (hand + half / 2, hip), (hand, hip)], shirt, 0.82)
    canvas.fill(box(x - 0.9 * wide, neck, x + 0.9 * wide, hip + 2), shirt)
    head = ellipse(x, face, face - top, 1.1 * (face - top))
    canvas.fill(head, canvas.pick(of.SKINS))
    canvas.fill(head[12:], of.TRUNK, 0.6)


def draw_post(canvas: Canvas, x: float, base: float, height: float) -> None:
    """Draw a lamp post, which is unlabelled."""
    canvas.begin(UNLABELLED)
    canvas.fill(box(x - 2, base - height, x + 2, base), of.IRON)
    canvas.fill(ellipse(x, base - height, 6, 4), of.WHITE)


# function; depths, 0 far .. 1 near; chance of each; distance from the middle, in half widths of the
# road or sides of the canvas; size at that depth
STREET = (
    (draw_building, [0.01] * 8, 0.6, (4, 40), (0.7, 1.4)),
    (draw_building, [0.07, 0.07, 0.16, 0.16, 0.3, 0.3], 0.72, (2.6, 3), (0.8, 1.2)),
    (draw_tree, [0.12, 0.12, 0.26, 0.26, 0.5, 0.75], 0.4, (1.15, 1.6), (1.1, 1.5)),
    (draw_post, [0.35], 0.4, (1.06, 1.06), (1.2, 1.2)),
    (draw_car, [0.15, 0.3, 0.45, 0.6, 0.75], 0.5, (0, 0.62), (0.7, 0.9)),
    (draw_person, [0.3, 0.5, 0.7, 0.9], 0.4, (0.85, 1.2), (0.6, 0.6)),
)
MEADOW = (
    (draw_tree, [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7], 0.6, (0, 0.5), (0.9, 1.3)),
    (draw_building, [0.15], 0.5, (0, 0.5), (0.8, 1.4)),
    (draw_person, [0.2, 0.5, 0.8], 0.35, (0, 0.5), (0.6, 0.6)),
)


def draw_scene(seed: tuple[int, ...], size: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a street or a landscape; the same seed and size give the same arrays.

    Args:
        seed (tuple[int]): Seed, e.g. (data set seed, split, number).
        size (int): Side, pixels, even, >= 32.

    Returns:
        tuple[ndarray]: Image (S, S, 3), BGR uint8; label (S, S), uint8, 0..9 and 255 = unlabelled;
        object ids (S, S), uint8, 255 = none.

    Raises:
        SLNPError: If ``size`` is too small or odd.
    """
    if size < 32 or size % 2:
        raise SLNPError(f'size must be an even number >= 32, got {size}')
    rng = np.random.default_rng(seed)
    canvas = Canvas(size, rng)
    middle, front, half = canvas.side * rng.uniform((0.35, 0.3, 0.34), (0.65, 0.7, 0.5))

    def at(depth: float, across: float) -> tuple[float, float]:
        wide = half * (0.03 + 0.97 * depth) if canvas.street else canvas.side
        x = middle + depth * (front - middle) + across * wide
        return x, canvas.horizon + depth * (canvas.side - canvas.horizon)

    def strip(far: float, near: float, wide: float) -> list:
        return [at(far, -wide), at(far, wide), at(near, wide), at(near, -wide)]

    draw_sky(canvas)
    if rng.random() < (0.4 if canvas.street else 0.85):
        draw_mountain(canvas)
    canvas.begin(of.GRASS)
    blades = canvas.texture(0.13, 3, 1.2) * canvas.texture(0.09, 0.6, 2, blur=20)
    canvas.fill(box(0, canvas.horizon, *[canvas.side] * 2), canvas.pick(of.MEADOWS), blades)
    if canvas.street:
        canvas.begin(of.ROAD)
        asphalt = of.ASPHALT * rng.uniform(0.8, 1.15)
        canvas.fill(strip(0, 1.02, 1), asphalt, canvas.texture(0.06))
        for far, near in zip(*(np.arange(7) + [[0], [0.5]]) ** 1.9 / 38):
            canvas.decorate(strip(far, near, 0.022), of.WHITE)
    elif rng.random() < 0.65:
        draw_water(canvas)

    # objects, far to near
    things = []
    for draw, depths, chance, aside, sizes in STREET if canvas.street else MEADOW:
        for depth in np.array(depths)[rng.random(len(depths)) < chance] * rng.uniform(0.9, 1.15):
            x, base = at(depth, rng.choice((-1, 1)) * rng.uniform(*aside))
            things.append((base, x, canvas.side * (0.1 + 0.5 * depth) * rng.uniform(*sizes), draw))
    for base, x, length, draw in sorted(things, key=lambda thing: thing[0]):
        if canvas.label[tuple(np.clip((base, x), 0, canvas.side - 1).astype(int))] != of.WATER:
            draw(canvas, x, base, length)

    # average colors, subsample ids
    image = cv2.resize(canvas.image, (size, size), interpolation=cv2.INTER_AREA)
    return image, canvas.label[1::2, 1::2].copy(), canvas.ids[1::2, 1::2].copy()
