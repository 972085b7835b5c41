"""Compose one ToyScenes picture from a seed."""

import numpy as np

from .canvas import Canvas
from .land import Road, draw_cloud, draw_grass, draw_mountain, draw_sky, draw_water
from .palette import LIGHT_ODDS, LIGHTS, WATER
from .things import draw_building, draw_car, draw_person, draw_post, draw_tree


def draw_scene(seed: tuple[int, ...], size: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one scene, a street or a landscape; the same seed and size give the same arrays.

    Source:
        ours: the scenes, so that the whole method can run without any download.

    Args:
        seed (tuple[int]): Seed, e.g. (data set seed, split, number).
        size (int): Side, pixels, even, >= 32.

    Returns:
        tuple[ndarray]: Image (S, S, 3), BGR uint8; label (S, S), uint8, 0..9 and 255 = unlabelled;
        object ids (S, S), uint8, 255 = none.

    Raises:
        ValueError: If ``size`` is too small or odd.
    """
    if size < 32 or size % 2:
        raise ValueError(f'size must be an even number >= 32, got {size}')

    # light and perspective
    rng = np.random.default_rng(seed)
    light = LIGHTS[rng.choice(len(LIGHTS), p=LIGHT_ODDS)]
    canvas = Canvas(size, light, rng.uniform(0.05, 0.95), rng)
    street = rng.random() < 0.5
    horizon = canvas.side * rng.uniform(*((0.34, 0.46) if street else (0.38, 0.56)))

    # from far to near
    draw_sky(canvas, horizon)
    for _ in range(rng.integers(0, 4)):
        draw_cloud(canvas, horizon)
    (_draw_street if street else _draw_landscape)(canvas, horizon)
    return canvas.finish()


def _draw_street(canvas: Canvas, horizon: float) -> None:
    """Draw a road between houses with cars, people and trees."""
    rng, side = canvas.rng, canvas.side
    if rng.random() < 0.4:
        draw_mountain(canvas, horizon, far=True)
    draw_grass(canvas, horizon)
    _draw_skyline(canvas, horizon)
    road = Road(canvas, horizon)
    road.draw(canvas)

    # things, of which the nearer hide the others
    jobs = []
    for hand in (-1, 1):
        _line_street(canvas, road, hand, jobs)
    for _ in range(rng.integers(1, 5)):
        depth = rng.uniform(0.12, 0.9)
        spot = road.at(depth, rng.uniform(-0.62, 0.62))
        length = side * (0.07 + 0.36 * depth) * rng.uniform(0.9, 1.15)
        jobs.append((draw_car, (*spot, length)))
    for _ in range(rng.integers(0, 4)):
        depth = rng.uniform(0.2, 0.97)
        hand = rng.choice((-1, 1))
        spot = road.at(depth, hand * rng.uniform(0.85, 1.2))
        height = side * (0.07 + 0.27 * depth)
        jobs.append((draw_person, (*spot, height)))
    for draw, where in sorted(jobs, key=_base_of):
        draw(canvas, *where)


def _base_of(job: tuple) -> float:
    """Lower edge of a thing to draw: the lower, the nearer."""
    return job[1][1]


def _draw_skyline(canvas: Canvas, horizon: float) -> None:
    """Draw small houses along the horizon."""
    rng, side = canvas.rng, canvas.side
    x = -rng.uniform(0, 0.1) * side
    while x < side:
        width = rng.uniform(0.07, 0.15) * side
        if rng.random() < 0.62:
            draw_building(canvas, x, horizon + 2, width, width * rng.uniform(0.7, 2.4))
        x += width * rng.uniform(1.15, 1.8)


def _line_street(canvas: Canvas, road: Road, hand: int, jobs: list) -> None:
    """Add houses, trees and posts of one side of the road to ``jobs``."""
    rng, side = canvas.rng, canvas.side
    for depth in (0.07, 0.16, 0.3):
        if rng.random() < 0.72:
            width = side * (0.1 + 0.5 * depth) * rng.uniform(0.8, 1.2)
            kerb = road.at(depth, hand * 1.25)
            x = kerb[0] if hand > 0 else kerb[0] - width
            height = width * rng.uniform(0.9, 2.2)
            jobs.append((draw_building, (x, kerb[1], width, height)))
    for depth in (0.12, 0.26, 0.5, 0.75):
        if rng.random() < 0.3:
            spot = road.at(depth * rng.uniform(0.9, 1.1), hand * rng.uniform(1.15, 1.5))
            height = side * (0.14 + 0.6 * depth) * rng.uniform(0.8, 1.1)
            jobs.append((draw_tree, (*spot, height)))
    if rng.random() < 0.2:
        spot = road.at(0.35, hand * 1.06)
        jobs.append((draw_post, (*spot, 0.34 * side)))


def _draw_landscape(canvas: Canvas, horizon: float) -> None:
    """Draw mountains, a meadow, often a lake, trees, a farm, hikers."""
    rng, side = canvas.rng, canvas.side
    if rng.random() < 0.85:
        draw_mountain(canvas, horizon, far=True)
    if rng.random() < 0.5:
        draw_mountain(canvas, horizon, far=False)
    draw_grass(canvas, horizon)
    if rng.random() < 0.65:
        draw_water(canvas, horizon)

    # things, of which the nearer hide the others
    jobs = []
    for _ in range(rng.integers(1, 8)):
        depth = rng.uniform(0.02, 0.85) ** 1.4
        base = horizon + depth * (side - horizon)
        height = side * (0.1 + 0.5 * depth) * rng.uniform(0.8, 1.2)
        jobs.append((draw_tree, (rng.uniform(0, side), base, height)))
    if rng.random() < 0.5:
        depth = rng.uniform(0.03, 0.3)
        base = horizon + depth * (side - horizon)
        width = side * (0.12 + 0.4 * depth)
        where = (rng.uniform(0, 0.85) * side, base, width, width * rng.uniform(0.55, 0.95))
        jobs.append((draw_building, where))
    for _ in range(rng.integers(0, 3)):
        depth = rng.uniform(0.15, 0.9)
        base = horizon + depth * (side - horizon)
        height = side * (0.06 + 0.26 * depth)
        jobs.append((draw_person, (rng.uniform(0.05, 0.95) * side, base, height)))
    for draw, where in sorted(jobs, key=_base_of):
        x, y = where[0] + (where[2] / 2 if draw is draw_building else 0), where[1]
        col, row = (int(np.clip(v, 0, side - 1)) for v in (x, y))
        if canvas.label[row, col] != WATER:
            draw(canvas, *where)
