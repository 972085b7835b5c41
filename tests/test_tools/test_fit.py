"""tools/fit.py: folders of annotation programs, wrong folders, a run that stops and goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import _layouts as layouts
import fit
import numpy as np
import pytest
from mmagic.registry import DATASETS
from PIL import Image

from slnp_mm.errors import DataError

VOC = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]  # colors of ids 0..3
CLASSES = ('background', 'road', 'sky')


def truth(number):
    """Ids 0..2 of sample ``number``, (64, 96), uint8; every one has another border."""
    label = np.zeros((64, 96), np.uint8)
    label[:20] = 2
    label[40 + number :] = 1
    return label


def save(path, array, mode=None, palette=None):
    """Write an image or a label map."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array, mode)
    if palette:
        image.putpalette(np.resize(palette, (256, 3)).ravel().tolist())
    image.save(path)


def photo(path, seed=0):
    save(path, np.random.default_rng(seed).integers(0, 256, (64, 96, 3), np.uint8))


def cvat(root, count):
    """Segmentation mask 1.1: painted masks, objects, a list and labelmap.txt."""
    names = [f'frame_{i:06}' for i in range(count)]
    for i, name in enumerate(names):
        photo(root / f'JPEGImages/{name}.jpg', i)
        colors = np.array([[0, 0, 0], [128, 64, 0], [12, 34, 200]], np.uint8)
        save(root / f'SegmentationClass/{name}.png', colors[truth(i)])
        save(root / f'SegmentationObject/{name}.png', np.array(VOC, np.uint8)[truth(i)])
    (root / 'ImageSets/Segmentation').mkdir(parents=True)
    (root / 'ImageSets/Segmentation/default.txt').write_text('\n'.join(names) + '\n')
    (root / 'labelmap.txt').write_text(
        '# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,0::\nsky:12,34,200::\n'
    )


def labelme(root, count):
    """labelme2voc.py: palette PNGs, with arrays and overlays that are none of the data."""
    for i in range(count):
        photo(root / f'JPEGImages/{i}.jpg', i)
        label = truth(i)
        label[0] = 255  # __ignore__
        save(root / f'SegmentationClassPNG/{i}.png', label, 'P', VOC)
        photo(root / f'SegmentationClassVisualization/{i}.jpg', i)
        (root / 'SegmentationClass').mkdir(exist_ok=True)
        np.save(root / f'SegmentationClass/{i}.npy', label.astype(np.int32) - 256 * (label == 255))
    (root / 'class_names.txt').write_text('_background_\nroad\nsky')


def label_studio(root, count):
    """Brush export: a mask of 0 and 255 for each region, and the JSON that names the images."""
    tasks = []
    for i in range(count):
        photo(root / f'images/{i}.jpg', i)
        for name, index in (('road', 1), ('sky', 2)):
            mask = np.where(truth(i) == index, 255, 0).astype(np.uint8)
            stem = f'task-{70 + i}-annotation-{200 + i}-by-1-tag-{name}-0'
            save(root / f'masks/{stem}.png', mask)
        image = f'/data/upload/3/{i:08x}-{i}.jpg'
        tasks.append(dict(id=70 + i, data=dict(image=image), annotations=[]))
    (root / 'export.json').write_text(json.dumps(tasks))


def supervisely(root, count):
    """Export as masks: meta.json, one grey mask an image, overlays beside them."""
    for i in range(count):
        photo(root / f'ds0/img/{i}.jpg', i)
        save(root / f'ds0/masks_machine/{i}.png', truth(i))
        photo(root / f'ds0/masks_human/{i}.png', i)
        (root / 'ds0/ann').mkdir(exist_ok=True)
        (root / f'ds0/ann/{i}.jpg.json').write_text('{}')
    (root / 'obj_class_to_machine_color.json').write_text('{"road": [1, 1, 1], "sky": [2, 2, 2]}')
    (root / 'meta.json').write_text('{"classes": []}')


def roboflow(root, count):
    """Semantic segmentation masks: pairs side by side in train and valid."""
    for split, start in (('train', 0), ('valid', 2)):
        for i in range(start, count, 4):
            photo(root / f'{split}/{i}_jpg.rf.0abc.jpg', i)
            save(root / f'{split}/{i}_jpg.rf.0abc_mask.png', truth(i))
        (root / split / '_classes.csv').write_text('Pixel Value, Class\n0, background\n1, road\n2, sky\n')


PROGRAMS = {
    'CVAT': cvat,
    'labelme': labelme,
    'Label Studio': label_studio,
    'Supervisely': supervisely,
    'Roboflow': roboflow,
}


def options(root, out, *words):
    """What the command line gives."""
    args = fit.parse_args([str(root), '--work-dir', str(out), *map(str, words)])
    return args


def found(root, *words):
    return layouts.find_layout(root, options(root, root.parent / 'out', *words), root.parent / 'out')


def read(found, out, split='train'):
    """The data set of a split, as the configs build it."""
    if found['lists']:
        place = out / f'{split}.txt'
        place.parent.mkdir(exist_ok=True)
        place.write_text('\n'.join(found['lists'][split]))
        found[split] = dict(found[split], ann_file=str(place))
    return DATASETS.build(dict(found['data'], **found[split]))


@pytest.mark.parametrize('program', PROGRAMS)
def test_export_is_read_as_it_comes(tmp_path, program):
    root, out = tmp_path / 'data', tmp_path / 'out'
    PROGRAMS[program](root, 12)
    taken = found(root)
    assert taken['told']['program'] == program
    names = [name.strip('_') for name in taken['data']['metainfo']['classes']]
    assert tuple(names) == CLASSES
    count = 0
    for split in ('train', 'val'):
        dataset = read(taken, out, split)
        for info in (dataset.get_data_info(i) for i in range(len(dataset))):
            sample = dataset.load_files(info)
            number = int(Path(info['name']).name.split('_jpg')[0].removeprefix('frame_'))
            expected = truth(number)
            if program == 'labelme':
                expected[0] = 255
            assert (sample['label'] == expected).all()
            count += 1
    assert count == (6 if program == 'Roboflow' else 12)
