"""Write ToyScenes to disk, unless it is already there."""

import json
import os
import sys
import tempfile

import cv2
from mmengine.utils import track_iter_progress

from ...errors import DataError
from .draw import draw_scene
from .palette import CLASSES

_FOLDERS = dict(images='jpg', stuffthingmaps='png', instances='png')


def write_toyscenes(
    out: str,
    num_train: int = 800,
    num_val: int = 100,
    size: int = 128,
    seed: int = 0,
    progress: bool = False,
) -> bool:
    """Write the data set in COCO-Stuff's folder layout; an interrupted call leaves nothing.

    Args:
        out (str): Folder to make.
        num_train (int): Images in ``train2017``, >= 1.
        num_val (int): Images in ``val2017``, >= 1.
        size (int): Side, pixels, even, >= 32.
        seed (int): Seed, >= 0.
        progress (bool): Show a progress bar on standard error.

    Returns:
        bool: False if the same data set is already there.

    Raises:
        DataError: If ``out`` holds something else.
    """
    out = os.path.expanduser(out)
    settings = dict(version=3, num_train=num_train, num_val=num_val, size=size, seed=seed)
    for key in ('num_train', 'num_val'):
        if settings[key] < 1:
            raise DataError(f'{key} must be >= 1, got {settings[key]}')
    if _settings_of(out) == settings:
        return False
    if _settings_of(out) is None and os.path.exists(out) and os.listdir(out):
        raise DataError(
            f'{out} exists and was not written by this tool; choose another --out or remove it'
        )
    parent = os.path.dirname(os.path.abspath(out))
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix='.toyscenes-') as temp:
        scenes = [('train2017', (seed, 0, i)) for i in range(num_train)]
        scenes += [('val2017', (seed, 1, i)) for i in range(num_val)]
        for split, key in track_iter_progress(scenes, file=sys.stderr) if progress else scenes:
            arrays = draw_scene(key, size)
            for (folder, end), array in zip(_FOLDERS.items(), arrays):
                os.makedirs(f'{temp}/new/{folder}/{split}', exist_ok=True)
                flags = [cv2.IMWRITE_JPEG_QUALITY, 92] if end == 'jpg' else []
                # cv2.imwrite fails on paths that are not valid text
                with open(f'{temp}/new/{folder}/{split}/{key[2]:06d}.{end}', 'wb') as file:
                    file.write(cv2.imencode(f'.{end}', array, flags)[1].tobytes())
        with open(f'{temp}/new/classes.txt', 'w') as file:
            file.write('\n'.join(CLASSES))
        with open(f'{temp}/new/toyscenes.json', 'w') as file:
            json.dump(settings, file, indent=1)

        # replace an old one
        if os.path.exists(out):
            os.rename(out, f'{temp}/old')
        try:
            os.rename(f'{temp}/new', out)
        except OSError:
            if _settings_of(out) != settings:  # another run was faster
                raise
    return True


def _settings_of(folder: str) -> dict | None:
    """Settings a folder was written with; None if it is not ours."""
    try:
        with open(os.path.join(folder, 'toyscenes.json')) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None
