"""Contact sheets of a dataset: image, labels, instances."""

import os
import sys

import cv2
import numpy as np

from slnp_mm.datasets import SLNPDataset
from slnp_mm.datasets.check import spread
from slnp_mm.datasets.codec import UNLABELLED
from slnp_mm.errors import DataError
from slnp_mm.evaluation.functional.grid import color_label, make_grid
from slnp_mm.files import write_image

HEIGHT, LEGEND = 200, 136  # height of a row and width of its legend, in pixels


def overlay(
    image: np.ndarray, label: np.ndarray, layers: np.ndarray, palette: list, share: float = 0.55
) -> np.ndarray:
    """Blend label colors with an image, (H, W, 3), RGB, uint8, and draw instance borders in white.

    ``label`` is (H, W), uint8, 255 = unlabelled (not blended); ``layers`` is (K, H, W), -1 = none.
    """
    mixed = cv2.addWeighted(image, 1 - share, color_label(label, palette), share, 0)
    mixed[label == UNLABELLED] = image[label == UNLABELLED]
    border = np.zeros(layers.shape, bool)
    border[:, 1:] |= layers[:, 1:] != layers[:, :-1]
    border[..., 1:] |= layers[..., 1:] != layers[..., :-1]
    mixed[border.any(0)] = 255
    return mixed


def legend(sample: dict, metainfo: dict) -> np.ndarray:
    """Name, instance count and largest classes of a sample."""
    bar = np.full((HEIGHT, LEGEND, 3), 255, np.uint8)
    ids, counts = np.unique(sample['label'], return_counts=True)
    order = [i for i in ids[np.argsort(-counts)] if i != UNLABELLED][:11]
    name = os.path.basename(sample['name'])[-14:].encode('ascii', 'replace').decode()
    lines = [f'{name}: {len(sample["instance_labels"])}', *(metainfo['classes'][i] for i in order)]
    for row, text in enumerate(lines):
        y = 13 + 16 * row
        if row:
            color = metainfo['palette'][order[row - 1]]
            cv2.rectangle(bar, (3, y - 9), (13, y + 1), color, -1)
        place = (17 if row else 3, y)
        cv2.putText(
            bar, text[:20], place, cv2.FONT_HERSHEY_SIMPLEX, 0.34, (0, 0, 0), 1, cv2.LINE_AA
        )
    return bar


def make_sheet(dataset: SLNPDataset, num_samples: int = 8) -> np.ndarray:
    """Draw evenly spaced samples, one per row: (H, W, 3), RGB, uint8; skip broken ones."""
    dataset.make_rules()
    rows = []
    for sample in spread(dataset.samples(dataset.find_all()), num_samples):
        try:
            sample = dataset.load_files(sample)
        except DataError:
            continue
        image, palette = sample['img'][..., ::-1].copy(), dataset.metainfo['palette']
        pair = [image, overlay(image, sample['label'], sample['instances'], palette)]
        width = max(1, round(image.shape[1] * HEIGHT / image.shape[0]))
        pair = [cv2.resize(x, (width, HEIGHT), interpolation=cv2.INTER_AREA) for x in pair]
        rows.append([*pair, legend(sample, dataset.metainfo)])
    if not rows:
        raise DataError(
            f'expected samples in {dataset.data_root}, but none can be drawn; see the problems '
            'that tools/check_dataset.py lists'
        )

    # pad narrow images on the right
    width = max(image.shape[1] for row in rows for image in row)
    for row in rows:
        for i, image in enumerate(row):
            room = ((0, 0), (0, width - image.shape[1]), (0, 0))
            row[i] = np.pad(image, room, constant_values=255)
    return make_grid(rows, ('image', 'labels', 'instances, classes'), HEIGHT)


def write_sheet(dataset: SLNPDataset, path: str) -> bool:
    """Write a sheet of samples as PNG; False if none can be drawn."""
    try:
        sheet = make_sheet(dataset)
    except DataError as error:
        print(f'no sheet: {error}', file=sys.stderr)
        return False
    write_image(path, sheet)
    print(f'sheet of samples: {path}')
    return True
