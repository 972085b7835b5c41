"""Things of ToyScenes: buildings, trees, cars, people and lamp posts.

``base`` is the lower edge of a thing; all lengths are canvas pixels.
"""

import numpy as np

from ..codec import UNLABELLED
from .canvas import Canvas, ellipse_points
from .palette import BUILDING, CAR, CAR_PAINTS, CLOTHES, PERSON, SKINS, TREE, WALLS, pick


def _rect(x0: float, y0: float, x1: float, y1: float) -> list:
    """Corners of an upright rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def draw_building(canvas: Canvas, x: float, base: float, width: float, height: float) -> None:
    """Draw a house or a block, ``x`` its left edge: lit front, side wall, roof and windows."""
    rng = canvas.rng
    canvas.begin(BUILDING)

    # walls
    wall = pick(rng, WALLS, 16)
    left_dark = canvas.sun > 0.5
    side_w = width * rng.uniform(0.15, 0.35)
    edge = x - side_w if left_dark else x + width
    top = base - height
    front = 1 + 0.4 * canvas.light.contrast
    canvas.polygon(_rect(edge, top, edge + side_w, base), wall, 0.62, grain=0.03)
    canvas.polygon(_rect(x, top, x + width, base), wall, front, grain=0.045)

    # roof and windows
    if height < 1.3 * width and rng.random() < 0.75:
        _draw_gable(canvas, x, top, width, -side_w if left_dark else side_w)
    else:
        slab = wall * rng.uniform(0.5, 0.75)
        lo, hi = min(x, edge), max(x + width, edge + side_w)
        canvas.polygon(_rect(lo - 1, top - 0.03 * height, hi + 1, top + 2), slab)
    _draw_windows(canvas, x, top, width, height)


def _draw_gable(canvas: Canvas, x: float, top: float, width: float, shift: float) -> None:
    """Draw a pitched roof over the front and the side wall, which reaches ``shift`` aside."""
    tile = pick(canvas.rng, ((50, 62, 150), (60, 70, 110), (74, 60, 58)))
    ridge = top - width * canvas.rng.uniform(0.28, 0.45)
    peak = x + width / 2
    far = x if shift < 0 else x + width
    side = [(peak, ridge), (peak + shift, ridge), (far + shift, top), (far, top)]
    canvas.polygon(side, tile, 0.8, grain=0.08)
    canvas.polygon([(x - 2, top), (peak, ridge), (x + width + 2, top)], tile, grain=0.08)


def _draw_windows(canvas: Canvas, x: float, top: float, width: float, height: float) -> None:
    """Draw a grid of windows, some lit by lamps at dusk."""
    rng = canvas.rng
    cols = int(np.clip(width / rng.uniform(11, 17), 1, 6))
    rows = int(np.clip(height / rng.uniform(13, 20), 1, 9))
    pane_w, pane_h = width / cols, height / rows
    glass = np.float32((150, 120, 84)) * rng.uniform(0.55, 1.1)
    lamp = np.float32((120, 214, 255)) / canvas.tint.clip(0.3)
    frame = rng.uniform(0.2, 0.3)
    for r in range(rows):
        for c in range(cols):
            color = lamp if rng.random() < canvas.light.windows_lit else glass
            x0, y0 = x + (c + frame) * pane_w, top + (r + frame) * pane_h
            x1, y1 = x + (c + 1 - frame) * pane_w, top + (r + 0.86) * pane_h
            canvas.polygon(_rect(x0, y0, x1, y1), color, rng.uniform(0.85, 1.1), detail=True)


def draw_tree(canvas: Canvas, x: float, base: float, height: float) -> None:
    """Draw a broad-leaved tree or a conifer."""
    rng = canvas.rng
    canvas.begin(TREE)
    lean = -1 if canvas.sun > 0.5 else 1
    shadow = ellipse_points((x + lean * 0.18 * height, base), (0.34 * height, 0.06 * height))
    canvas.darken(shadow, 0.2 + 0.6 * canvas.light.contrast)

    trunk = np.float32((44, 66, 96)) * rng.uniform(0.7, 1.15)
    half = max(1.5, 0.045 * height)
    canvas.polygon(_rect(x - half, base - 0.4 * height, x + half, base), trunk, grain=0.1)

    # a conifer, or a round crown
    leaf = pick(rng, ((36, 96, 44), (40, 110, 70), (30, 78, 46), (44, 124, 108), (38, 88, 30)), 10)
    if rng.random() < 0.35:
        for k in range(3):
            w = height * (0.3 - 0.07 * k)
            y = base - height * (0.14 + 0.25 * k)
            _leaves(canvas, [(x - w, y), (x, y - 0.4 * height), (x + w, y)], leaf * 0.8, lean)
        return
    crown = base - 0.66 * height
    points = ellipse_points((x, crown), (0.32 * height, 0.35 * height), 26)
    bumps = 1 + 0.12 * rng.standard_normal(len(points))[:, None]
    _leaves(canvas, (points - (x, crown)) * bumps + (x, crown), leaf, lean)


def _leaves(canvas: Canvas, points: np.ndarray, color: np.ndarray, lean: int) -> None:
    """Fill a crown: mottled, brighter on the sun's side and at the top."""
    points = np.asarray(points, np.float32)
    x0, y0, x1, y1 = canvas.box(points)
    if x1 <= x0 or y1 <= y0:
        return
    across = np.linspace(lean, -lean, x1 - x0)[None, :, None]
    down = np.linspace(1, -1, y1 - y0)[:, None, None]
    shade = 1 + canvas.light.contrast * (0.45 * across + 0.55 * down)
    mottle = canvas.texture(y1 - y0, x1 - x0, 0.24, stretch=(2.2, 2.2))
    canvas.polygon(points, color, shade * mottle)


def draw_car(canvas: Canvas, x: float, base: float, length: float) -> None:
    """Draw a car from the side: body, cabin, windows, wheels, lamps."""
    rng = canvas.rng
    canvas.begin(CAR)
    paint = pick(rng, CAR_PAINTS, 14)
    turn = 1 if rng.random() < 0.5 else -1
    high = 0.2 * length

    def to_canvas(points: list) -> np.ndarray:
        """Car coordinates (along 0..1, up 0..2) to canvas pixels."""
        arr = np.asarray(points, np.float32)
        return np.stack([x + turn * (arr[:, 0] - 0.5) * length, base - high * arr[:, 1]], 1)

    canvas.darken(ellipse_points((x, base), (0.55 * length, 0.2 * high)), 0.55)

    # body and cabin
    body = [(0, 0.25), (0, 0.85), (0.04, 1.05), (0.3, 1.12), (0.9, 1.05), (1, 0.8), (1, 0.25)]
    roof = rng.uniform(1.75, 2.05)
    cabin = [(0.14, 1.05), (0.24, roof), (0.62, roof), (0.8, 1.05)]
    canvas.polygon(to_canvas(cabin), paint, 1.06)
    canvas.polygon(to_canvas(body), paint, grain=0.02)
    canvas.polygon(to_canvas(_rect(0, 0.5, 1, 0.25)), paint, 0.62, detail=True)

    # windows, wheels and lamps
    glass = np.float32((140, 116, 92)) * rng.uniform(0.5, 0.9)
    up = roof - 0.12
    for a, b, c, d in ((0.2, 0.27, 0.42, 0.42), (0.46, 0.46, 0.6, 0.72)):
        canvas.polygon(to_canvas([(a, 1.15), (b, up), (c, up), (d, 1.15)]), glass, detail=True)
    for along in (0.2, 0.79):
        hub = to_canvas([(along, 0.3)])[0]
        for radius, grey in ((0.42 * high, 28), (0.2 * high, 150)):
            wheel = ellipse_points(hub, (radius, radius), 14)
            canvas.polygon(wheel, np.full(3, grey, np.float32), detail=grey > 100)
    lamp = np.float32((200, 245, 255))
    canvas.polygon(to_canvas(_rect(0.96, 0.95, 1, 0.75)), lamp, detail=True)


def draw_person(canvas: Canvas, x: float, base: float, height: float) -> None:
    """Draw a standing or walking person."""
    rng = canvas.rng
    canvas.begin(PERSON)
    shirt, legs = pick(rng, CLOTHES), pick(rng, CLOTHES) * 0.6
    skin = pick(rng, SKINS, 6)
    step = rng.uniform(0.02, 0.1) * height
    wide = rng.uniform(0.11, 0.15) * height
    canvas.darken(ellipse_points((x, base), (0.2 * height, 0.03 * height)), 0.45)

    # legs, arms and trunk
    hip, neck = base - 0.46 * height, base - 0.83 * height
    for side in (-wide, wide):
        foot = x + np.sign(side) * step
        leg = [(x + 0.7 * side, hip), (x, hip), (foot, base), (foot + 0.5 * side, base)]
        canvas.polygon(leg, legs)
        hand = x + 1.25 * side
        arm = [(x + 0.6 * side, neck), (hand, neck + 3)]
        arm += [(hand + 0.3 * side, hip), (hand - 0.2 * side, hip)]
        canvas.polygon(arm, shirt * 0.82)
    trunk = [(x - wide, neck), (x + wide, neck), (x + 0.8 * wide, hip + 2)]
    canvas.polygon([*trunk, (x - 0.8 * wide, hip + 2)], shirt, grain=0.04)

    # head and hair
    radius, face = 0.085 * height, base - 0.91 * height
    canvas.polygon(ellipse_points((x, face), (radius, radius * 1.15), 14), skin)
    hair = np.float32((36, 44, 60)) * rng.uniform(0.5, 2.2)
    cap = ellipse_points((x, face - 0.35 * radius), (1.05 * radius, 0.85 * radius), 14)
    canvas.polygon(cap[7:], hair)


def draw_post(canvas: Canvas, x: float, base: float, height: float) -> None:
    """Draw a lamp post: nobody labelled it, so it is unlabelled (255)."""
    canvas.begin(UNLABELLED)
    half = max(1.2, 0.02 * height)
    iron, lamp = np.float32((70, 68, 66)), np.float32((190, 235, 250))
    canvas.polygon(_rect(x - half, base - height, x + half, base), iron)
    canvas.polygon(ellipse_points((x, base - height), (3.2 * half, 2.2 * half), 12), lamp)
