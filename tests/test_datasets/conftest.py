"""Small made data sets, each in its true folder layout."""

import json
import struct
import zlib
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image

import slnp_mm  # noqa: F401

cv2.setNumThreads(0)  # as in the loader's workers; steadier on busy machines


@pytest.fixture(autouse=True)
def _seed_and_scope():
    """Seed numpy; set the scope."""
    np.random.seed(0)
    init_default_scope('mmagic')


def write_png(path, array, palette=None):
    """Write ids or RGB colors as PNG; uint16 as 16-bit grey."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.asarray(array)
    if palette is not None:
        image = Image.fromarray(array.astype(np.uint8), 'P')
        image.putpalette(list(np.asarray(palette).ravel()))
        image.save(path)
    elif array.ndim == 2:
        assert cv2.imwrite(str(path), array)
    else:
        Image.fromarray(array.astype(np.uint8)).save(path)


def raw_png(size, bits, rows):
    """The bytes of a grey PNG of a height and width, of any bits and rows, sound or not."""

    def part(kind, body):
        return (
            struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
        )

    head = struct.pack('>IIBBBBB', size[1], size[0], bits, 0, 0, 0, 0)
    parts = part(b'IHDR', head) + part(b'IDAT', zlib.compress(rows)) + part(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + parts


def write_jpg(path, shape=(24, 32), seed=0):
    """Write a smooth random JPEG of a height and width."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    image = cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_LINEAR)
    assert cv2.imwrite(str(path), image)


def blocks(ids, shape=(24, 32)):
    """A label map of upright stripes, one an id."""
    columns = np.arange(shape[1]) * len(ids) // shape[1]
    return np.tile(np.asarray(ids)[columns], (shape[0], 1))


@pytest.fixture
def folder_pair(tmp_path):
    """Three pictures with labels 0, 1, 2 and 255."""
    root = tmp_path / 'pair'
    for i in range(3):
        write_jpg(root / f'images/{i}.jpg', seed=i)
        write_png(root / f'labels/{i}.png', blocks([0, 1, 2, 255]).astype(np.uint8))
    return root


def make_coco(root):
    """COCO-Stuff: raw ids, SPADE-style instances, an instances JSON."""
    label = blocks([0, 2, 156, 255]).astype(np.uint8)
    ids = label.copy()
    ids[:, :4], ids[:, 4:8] = 0, 1  # two persons; other ids stay the class
    for split in ('train2017', 'val2017'):
        for i in range(3):
            name = f'{i:012d}'
            write_jpg(root / f'images/{split}/{name}.jpg', seed=i)
            write_png(root / f'stuffthingmaps/{split}/{name}.png', label)
            write_png(root / f'instances/{split}/{name}.png', ids)
        write_json(root, split)
    return root


def write_json(root, split):
    """An instances JSON: two boxes that overlap in every picture."""
    anns = [
        dict(
            id=10 * i + k + 1,
            image_id=i,
            iscrowd=0,
            category_id=category,
            segmentation=[[x0, 0, x1, 0, x1, 24, x0, 24]],
        )
        for i in range(3)
        for k, (x0, x1, category) in enumerate(((0, 8, 1), (6, 14, 3)))
    ]
    data = dict(
        images=[dict(id=i, file_name=f'{i:012d}.jpg', height=24, width=32) for i in range(3)],
        annotations=anns,
        categories=[dict(id=c, name=str(c)) for c in (1, 3)],
    )
    path = root / f'annotations/instances_{split}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def make_cityscapes(root):
    """Cityscapes: label ids, instance ids of 16 bits, folders by city."""
    label = blocks([7, 26, 3, 23]).astype(np.uint8)
    ids = label.astype(np.uint16)
    ids[:, 8:12], ids[:, 12:16] = 26000, 26001  # two cars
    for split in ('train', 'val'):
        for i in range(3):
            name = f'ulm/ulm_{i:06d}_000019'
            image = np.full((24, 32, 3), 40 * i, np.uint8)
            write_png(root / f'leftImg8bit/{split}/{name}_leftImg8bit.png', image)
            base = root / f'gtFine/{split}/{name}_gtFine'
            write_png(f'{base}_labelIds.png', label)
            write_png(f'{base}_instanceIds.png', ids)
            write_png(f'{base}_color.png', image)
    return root


def make_plain(root, ids, splits=('train', 'val')):
    """Pictures and label maps only: ADE20K (0 = unlabelled), CamVid and NYUv2."""
    for split in splits:
        for i in range(3):
            write_jpg(root / f'images/{split}/{i}.jpg', seed=i)
            write_png(root / f'annotations/{split}/{i}.png', blocks(ids).astype(np.uint8))
    return root


def make_toyscenes(root):
    """A few ToyScenes."""
    from slnp_mm.datasets.toyscenes import write_toyscenes

    write_toyscenes(str(root), num_train=3, num_val=3, size=32)
    return root


def make_nuclei(root):
    """Nuclei: two that touch, of numbers of 16 bits."""
    label, ids = blocks([0, 1, 1, 0]), np.zeros((24, 32), np.uint16)
    ids[:, 8:12], ids[:, 12:24] = 300, 7
    for split in ('train', 'val'):
        for i in range(3):
            write_jpg(root / f'images/{split}/{i}.jpg', seed=i)
            write_png(root / f'labels/{split}/{i}.png', label.astype(np.uint8))
            write_png(root / f'instances/{split}/{i}.png', ids)
    return root


MAKERS = dict(
    coco_stuff=make_coco,
    ade20k=partial(make_plain, ids=[0, 1, 2, 150], splits=('training', 'validation')),
    cityscapes=make_cityscapes,
    camvid=partial(make_plain, ids=[0, 3, 10, 255]),
    nyuv2=partial(make_plain, ids=[0, 3, 39, 255]),
    nuclei=make_nuclei,
    toyscenes=make_toyscenes,
)


@pytest.fixture
def make_set(tmp_path):
    """Write the fixture of a data set by name; return its root."""
    return lambda name: MAKERS[name](tmp_path / name)


@pytest.fixture(scope='session')
def assert_contract():
    """Check the inputs of a sample: shapes, dtypes, ranges and the order of the instances."""

    def check(inputs, num_classes, size, num_slots=64, num_layers=1):
        shapes = dict(
            img=(3, *size),
            label=(1, *size),
            instances=(num_layers, *size),
            instance_labels=(num_slots,),
        )
        assert {key: tuple(inputs[key].shape) for key in shapes} == shapes
        img, label, ids, kinds = (inputs[key] for key in shapes)
        assert img.dtype == label.dtype == torch.uint8
        assert ids.dtype == kinds.dtype == torch.int16
        assert ((label < num_classes) | (label == 255)).all()
        assert ((ids >= 0).any(0) | (label[0] == 255)).all()

        used = int((kinds >= 0).sum())
        assert ids.min() >= -1 and ids.max() < used
        assert (kinds[:used] < num_classes).all() and (kinds[used:] == -1).all()
        area = [int((ids == i).any(0).sum()) for i in range(used)]
        assert area == sorted(area, reverse=True) and 0 not in area

    return check


@pytest.fixture
def files():
    """Writers of single files: png, jpg, raw bytes of a PNG, and striped labels."""
    from types import SimpleNamespace

    return SimpleNamespace(png=write_png, jpg=write_jpg, blocks=blocks, raw_png=raw_png)
