"""Small made data sets, each in its true folder layout."""

import json
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmagic.registry import DATASETS
from mmengine.registry import init_default_scope
from PIL import Image

from slnp_mm.datasets.toyscenes import write_toyscenes

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


# ids of the stripes of the label maps, as the files have them
STRIPES = dict(
    coco=[0, 2, 156, 255],
    ade20k=[0, 1, 2, 150],  # 0 is unlabelled
    camvid=[0, 3, 10, 255],
    nyuv2=[0, 3, 39, 255],
    nuclei=[0, 1, 1, 0],
)


def make_plain(root, layout, name):
    """Three images a split with label maps and, where the layout has a folder, instances."""
    images, labels, instances, splits = layout
    label = blocks(STRIPES[name]).astype(np.uint8)
    ids = label.copy()  # an id stays the class
    if name == 'coco':
        ids[:, :4], ids[:, 4:8] = 0, 1  # but two persons
    elif name == 'nuclei':
        ids = ids.astype(np.uint16)
        ids[:, 8:12], ids[:, 12:24] = 300, 7  # but two that touch
    for split in splits:
        for i in range(3):
            write_jpg(root / images.format(split) / f'{i}.jpg', seed=i)
            write_png(root / labels.format(split) / f'{i}.png', label)
            if instances:
                write_png(root / instances.format(split) / f'{i}.png', ids)
        if name == 'coco':
            write_json(root, split)


def write_json(root, split):
    """A COCO JSON: two boxes that overlap in every image."""
    things = [
        dict(
            id=10 * i + category,
            image_id=i,
            iscrowd=0,
            category_id=category,
            segmentation=[[x0, 0, x1, 0, x1, 24, x0, 24]],
        )
        for i in range(3)
        for x0, x1, category in ((0, 8, 1), (6, 14, 3))
    ]
    images = [dict(id=i, file_name=f'{i}.jpg', height=24, width=32) for i in range(3)]
    kinds = [dict(id=kind, name=str(kind)) for kind in (1, 3)]
    path = root / f'annotations/instances_{split}.json'
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(dict(images=images, annotations=things, categories=kinds)))


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
            for kind, array in dict(labelIds=label, instanceIds=ids, color=image).items():
                write_png(root / f'gtFine/{split}/{name}_gtFine_{kind}.png', array)


@pytest.fixture
def make_set(tmp_path, tiny):
    """Write a data set in its true layout, by the name of its config; return its root."""

    def make(name):
        root, kind = tmp_path / name, name.split('_')[0]
        if kind == 'toyscenes':
            write_toyscenes(str(root), num_train=3, num_val=3, size=32)
        elif kind == 'cityscapes':
            make_cityscapes(root)
        else:
            make_plain(root, tiny.LAYOUTS[kind], kind)
        return root

    return make


@pytest.fixture
def build(tiny):
    """Build a data set of three classes in two folders."""
    return lambda root, **settings: DATASETS.build(tiny.set_config(root, **settings))


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
    return SimpleNamespace(png=write_png, jpg=write_jpg, blocks=blocks, raw_png=raw_png)
