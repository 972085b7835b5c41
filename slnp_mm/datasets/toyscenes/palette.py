"""Classes, colors and light of ToyScenes."""

import numpy as np


def bgr(codes: str) -> np.ndarray:
    """BGR colors, (N, 3), float32, 0..255, from RGB in hexadecimal digits."""
    return np.float32([tuple(bytes.fromhex(code)[::-1]) for code in codes.split()])


CLASSES = tuple('sky cloud mountain grass road water building tree car person'.split())
_RGB = '78b4e6 ecf0f1 7f6860 60a946 5a5a62 2962b2 c47848 1c6330 d62728 ffc107'
PALETTE = bgr(_RGB)[:, ::-1].astype(int).tolist()
SKY, CLOUD, MOUNTAIN, GRASS, ROAD, WATER, BUILDING, TREE, CAR, PERSON = range(len(CLASSES))

# noon, morning, overcast, sunset, dusk: share of scenes; upper sky, lower sky, sun glow; tint, BGR
# factors; contrast of lit and shaded sides; share of lit windows
LIGHTS = (
    (0.38, '448ed6 b2d8f4 ecf6fc', (1.0, 1.0, 1.0), 0.35, 0.0),
    (0.2, '689ecd eed6ce fce2c4', (0.92, 0.97, 1.03), 0.4, 0.05),
    (0.18, 'a6b0ba ced2d6 d8dadc', (0.9, 0.88, 0.86), 0.12, 0.1),
    (0.14, '545c96 f69860 ffce78', (0.7, 0.82, 1.02), 0.45, 0.35),
    (0.1, '22345c 6e6088 967896', (0.66, 0.54, 0.52), 0.2, 0.65),
)
MEADOWS, LEAVES = bgr('5c9434 78a03c 467e2c 96aa46'), bgr('2c6024 466e28 2e4e1e 6c7c2c 1e5826')
WALLS, TILES = bgr('b2785c c6a078 ccb296 8c6058 b2aca8 788c7c 8296b0 d7966e'), bgr('963e32 3a3c4a')
PAINTS = bgr('c82828 1e5ac8 e4e1e1 282628 e6b43c 288c50 a5a0a0 dc6e1e')  # of cars
CLOTHES = bgr('d23c3c 285ac8 e6be32 3c963c a03cb4 e6e6e6 2d2828 3caadc')
SKINS, (ROCK, ASPHALT) = bgr('e8b996 cd966e 966446 f0c8aa'), bgr('707478 626466')
GLASS, LAMP, TRUNK, WHITE, IRON = bgr('547896 ffd678 604230 eae8e2 2c2a28')
