"""Write ToyScenes to disk once, and know when it is already there."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable

import cv2

from ...errors import DataError
from .draw import draw_scene

SETTINGS_FILE = 'toyscenes.json'
_VERSION = 1
_FOLDERS = ('images', 'stuffthingmaps', 'instances')
Progress = Callable[[int, int], None]


def write_toyscenes(
    out: str,
    num_train: int = 800,
    num_val: int = 100,
    size: int = 128,
    seed: int = 0,
    quality: int = 92,
    progress: Progress | None = None,
) -> bool:
    """Write the data set in COCO-Stuff's folder layout.

    All is written to a temporary folder that is renamed at the end, so an interrupted run leaves
    nothing half done.

    Args:
        out (str): Folder to make.
        num_train (int): Pictures in ``train2017``, >= 1.
        num_val (int): Pictures in ``val2017``, >= 1.
        size (int): Side, pixels, even, >= 32.
        seed (int): Seed, >= 0.
        quality (int): JPEG quality, 1..100.
        progress (Callable, optional): Called with done and total.

    Returns:
        bool: False if the same data set was already there and is kept.

    Raises:
        DataError: If ``out`` holds something else.
    """
    out = os.path.expanduser(out)
    settings = dict(
        version=_VERSION,
        num_train=num_train,
        num_val=num_val,
        size=size,
        seed=seed,
        quality=quality,
    )
    for key in ('num_train', 'num_val'):
        if settings[key] < 1:
            raise DataError(f'{key} must be >= 1, got {settings[key]}')
    if os.path.exists(out):
        if _settings_of(out) == settings:
            return False
        if _settings_of(out) is None and os.listdir(out):
            raise DataError(
                f'{out} exists and was not written by this tool; choose another --out or remove it'
            )
    parent = os.path.dirname(os.path.abspath(out))
    os.makedirs(parent, exist_ok=True)
    temp = tempfile.mkdtemp(dir=parent, prefix='.toyscenes-')
    try:
        _write_splits(temp, settings, progress)
        with open(os.path.join(temp, SETTINGS_FILE), 'w') as file:
            json.dump(settings, file, indent=1)
        os.chmod(temp, 0o755)
        _swap(temp, out, settings)
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return True


def _swap(temp: str, out: str, settings: dict) -> None:
    """Put the new folder in place of an old one."""
    old = f'{temp}-old'
    if os.path.exists(out):
        os.rename(out, old)
    try:
        os.rename(temp, out)
    except OSError:
        if _settings_of(out) != settings:  # another run was first
            raise
    shutil.rmtree(old, ignore_errors=True)


def _settings_of(folder: str) -> dict | None:
    """Settings a folder was written with; None if it was not by us."""
    try:
        with open(os.path.join(folder, SETTINGS_FILE)) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def _write_splits(root: str, settings: dict, progress: Progress | None) -> None:
    """Draw and write both splits."""
    total = settings['num_train'] + settings['num_val']
    done = 0
    for part, key in enumerate(('num_train', 'num_val')):
        split = key.removeprefix('num_') + '2017'
        for folder in _FOLDERS:
            os.makedirs(os.path.join(root, folder, split))
        for number in range(settings[key]):
            image, label, ids = draw_scene((settings['seed'], part, number), settings['size'])
            name = f'{number:06d}'
            for folder, suffix, array in zip(
                _FOLDERS, ('.jpg', '.png', '.png'), (image, label, ids)
            ):
                path = os.path.join(root, folder, split, name + suffix)
                flags = [cv2.IMWRITE_JPEG_QUALITY, settings['quality']] if suffix == '.jpg' else []
                with open(path, 'wb') as file:  # OpenCV writes only where the path is text
                    file.write(cv2.imencode(suffix, array, flags)[1].tobytes())
            done += 1
            if progress is not None:
                progress(done, total)
