"""Classes, colors and light of ToyScenes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_COLORS = dict(
    sky=(120, 180, 230),
    cloud=(236, 240, 241),
    mountain=(127, 104, 96),
    grass=(96, 169, 70),
    road=(90, 90, 98),
    water=(41, 98, 178),
    building=(196, 120, 72),
    tree=(28, 99, 48),
    car=(214, 39, 40),
    person=(255, 193, 7),
)
CLASSES, PALETTE = tuple(_COLORS), [list(color) for color in _COLORS.values()]
SKY, CLOUD, MOUNTAIN, GRASS, ROAD, WATER, BUILDING, TREE, CAR, PERSON = range(len(CLASSES))


@dataclass(frozen=True)
class Light:
    """Colors of one time of day, all BGR, 0..255.

    ``tint`` is a factor on every lit surface, ``contrast`` the difference of lit and shaded sides
    and ``windows_lit`` the share of lamp-lit windows, both 0..1.
    """

    zenith: tuple[int, int, int]
    horizon: tuple[int, int, int]
    glow: tuple[int, int, int]
    tint: tuple[float, float, float]
    contrast: float
    windows_lit: float


# noon, morning, overcast, sunset, dusk
LIGHTS = (
    Light((214, 142, 68), (244, 216, 178), (252, 246, 236), (1.0, 1.0, 1.0), 0.35, 0.0),
    Light((205, 158, 104), (206, 214, 238), (196, 226, 252), (0.92, 0.97, 1.03), 0.4, 0.05),
    Light((186, 176, 166), (214, 210, 206), (220, 218, 216), (0.9, 0.88, 0.86), 0.12, 0.1),
    Light((150, 92, 84), (96, 152, 246), (120, 206, 255), (0.7, 0.82, 1.02), 0.45, 0.35),
    Light((92, 52, 34), (136, 96, 110), (150, 120, 150), (0.66, 0.54, 0.52), 0.2, 0.65),
)
LIGHT_ODDS = (0.38, 0.2, 0.18, 0.14, 0.1)


def _bgr(codes: str) -> list[tuple[int, int, int]]:
    """Colors as BGR triples, 0..255, from RGB in hexadecimal digits."""
    return [tuple(bytes.fromhex(code)[::-1]) for code in codes.split()]


WALLS = _bgr('b2785c c6a078 ccb296 8c6058 b2aca8 788c7c 8296b0 d7966e')
CAR_PAINTS = _bgr('c82828 1e5ac8 e4e1e1 282628 e6b43c 288c50 a5a0a0 dc6e1e')
CLOTHES = _bgr('d23c3c 285ac8 e6be32 3c963c a03cb4 e6e6e6 2d2828 3caadc')
SKINS = _bgr('e8b996 cd966e 966446 f0c8aa')


def pick(rng: np.random.Generator, colors: Sequence, spread: int = 12) -> np.ndarray:
    """Pick a BGR color, (3, ), float32, 0..255, and change each channel by up to ``spread``."""
    color = np.asarray(colors[rng.integers(len(colors))], np.float32)
    color = color + rng.uniform(-spread, spread, 3)
    return np.clip(color, 0, 255).astype(np.float32)
