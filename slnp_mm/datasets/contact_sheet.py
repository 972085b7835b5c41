"""Samples of a data set in one picture: image, label, instances."""

import os

import cv2
import numpy as np

from .errors import DataError
from .image_io import decode_image, read_bytes
from .label_codec import UNLABELLED
from .preflight import instance_loader, spread
from .slnp_dataset import SLNPDataset
from .transforms import SLNPLoadInstances, SLNPLoadLabel

_HEIGHT = 200
_CAPTION = 16
_BAR = 136


def overlay(
    image: np.ndarray,
    label: np.ndarray,
    layers: np.ndarray,
    palette: np.ndarray,
    share: float = 0.55,
) -> np.ndarray:
    """Lay label colours over a picture, with white instance borders.

    Args:
        image (ndarray): (H, W, 3), BGR, uint8.
        label (ndarray): (H, W), uint8, 255 = unlabelled (left as it is).
        layers (ndarray): (K, H, W), ids, -1 = none.
        palette (ndarray): (C, 3), RGB, uint8.
        share (float): Weight of the label colours, 0..1.

    Returns:
        ndarray: (H, W, 3), BGR, uint8.
    """
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette[:, ::-1]
    mixed = cv2.addWeighted(image, 1 - share, table[label], share, 0)
    mixed[label == UNLABELLED] = image[label == UNLABELLED]
    for layer in layers:
        border = np.zeros(layer.shape, bool)
        border[:, 1:] |= layer[:, 1:] != layer[:, :-1]
        border[1:] |= layer[1:] != layer[:-1]
        mixed[border] = 255
    return mixed


def make_sheet(dataset: SLNPDataset, num_samples: int = 8) -> np.ndarray:
    """Draw a sheet of samples, evenly spread over the set.

    Samples with a problem are left out, so that a set which is not sound
    yet can be looked at too.

    Args:
        dataset (SLNPDataset): Initialised, or seen by ``check_dataset``.
        num_samples (int): Samples, two a row. Defaults to 8.

    Returns:
        ndarray: BGR picture, uint8.

    Raises:
        DataError: If none of the samples can be drawn.
    """
    loader = instance_loader(dataset) or SLNPLoadInstances(cache_dir=None)
    palette = np.asarray(dataset.metainfo['palette'], np.uint8)
    tiles = []
    for info in spread(dataset.samples(dataset.find_all()), num_samples):
        try:
            tiles.append(_tile(dataset, info, loader, palette))
        except DataError:
            continue
    if not tiles:
        raise DataError(
            f'no sample of {dataset.data_root} can be drawn; see the problems that the check lists'
        )
    width = max(tile.shape[1] for tile in tiles)
    tiles = [_pad(tile, width) for tile in tiles]
    if len(tiles) % 2:
        tiles.append(np.full_like(tiles[0], 255))
    rows = [np.hstack(tiles[i : i + 2]) for i in range(0, len(tiles), 2)]
    return np.vstack(rows)


def _tile(
    dataset: SLNPDataset,
    info: dict,
    loader: SLNPLoadInstances,
    palette: np.ndarray,
) -> np.ndarray:
    """One sample: image, overlay, the largest classes by name."""
    rules = dict(label_codec=dataset.codec, instance_source=dataset.source)
    info = {**info, **rules}
    image = decode_image(read_bytes(info['img_path']), info['img_path'])
    info['ori_shape'] = image.shape[:2]
    info = loader.transform(SLNPLoadLabel().transform(info))
    width = max(1, round(image.shape[1] * _HEIGHT / image.shape[0]))
    pair = [image, overlay(image, info['label'], info['instances'], palette)]
    pair = [cv2.resize(x, (width, _HEIGHT), interpolation=cv2.INTER_AREA) for x in pair]
    legend = _legend(dataset, info['label'], palette)
    tile = np.hstack([*pair, legend])
    caption = np.full((_CAPTION, tile.shape[1], 3), 255, np.uint8)
    text = f'{os.path.basename(info["img_path"])}  {len(info["instance_labels"])} instances'
    _write(caption, text, (3, 12))
    return np.vstack([caption, tile])


def _legend(dataset: SLNPDataset, label: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Names and colours of the classes that cover most of a label."""
    bar = np.full((_HEIGHT, _BAR, 3), 255, np.uint8)
    ids, counts = np.unique(label, return_counts=True)
    order = [i for i in np.argsort(-counts) if ids[i] != UNLABELLED][:12]
    for row, i in enumerate(order):
        y = 4 + 16 * row
        colour = palette[ids[i]][::-1].tolist()
        cv2.rectangle(bar, (3, y), (13, y + 10), colour, -1)
        name = dataset.metainfo['classes'][ids[i]]
        _write(bar, name[:20], (17, y + 9))
    return bar


def _write(picture: np.ndarray, text: str, place: tuple[int, int]) -> None:
    """Write small black text."""
    cv2.putText(
        picture,
        text,
        place,
        cv2.FONT_HERSHEY_SIMPLEX,
        0.34,
        (0, 0, 0),
        1,
        cv2.LINE_AA,
    )


def _pad(tile: np.ndarray, width: int) -> np.ndarray:
    """Widen a tile with white."""
    return cv2.copyMakeBorder(
        tile,
        0,
        6,
        0,
        width - tile.shape[1] + 6,
        cv2.BORDER_CONSTANT,
        value=(255, 255, 255),
    )


def save_sheet(sheet: np.ndarray, path: str) -> None:
    """Write a sheet as PNG under its final name in one step."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    done, data = cv2.imencode('.png', sheet)
    if not done:
        raise ValueError(f'cannot encode the sheet for {path}')
    temp = f'{path}.{os.getpid()}.tmp'
    with open(temp, 'wb') as file:
        file.write(data.tobytes())
    os.replace(temp, path)
