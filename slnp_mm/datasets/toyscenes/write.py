"""Write ToyScenes to disk once, and know when it is already there."""

import json
import os
import sys
import tempfile

import cv2
from mmengine.utils import track_iter_progress

from ...errors import DataError
from .draw import draw_scene

SETTINGS_FILE = 'toyscenes.json'
_FOLDERS = dict(images='.jpg', stuffthingmaps='.png', instances='.png')
_QUALITY = 92  # of the JPEG files, 1..100


def write_toyscenes(
    out: str,
    num_train: int = 800,
    num_val: int = 100,
    size: int = 128,
    seed: int = 0,
    progress: bool = False,
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
        progress (bool): Show a bar with the time left, on standard error.

    Returns:
        bool: False if the same data set was already there and is kept.

    Raises:
        DataError: If ``out`` holds something else.
    """
    out = os.path.expanduser(out)
    settings = dict(
        version=1, num_train=num_train, num_val=num_val, size=size, seed=seed, quality=_QUALITY
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
    with tempfile.TemporaryDirectory(dir=parent, prefix='.toyscenes-') as temp:
        new = os.path.join(temp, 'new')
        _write_splits(new, settings, progress)
        with open(os.path.join(new, SETTINGS_FILE), 'w') as file:
            json.dump(settings, file, indent=1)

        # in the place of an old one
        if os.path.exists(out):
            os.rename(out, os.path.join(temp, 'old'))
        try:
            os.rename(new, out)
        except OSError:
            if _settings_of(out) != settings:  # another run was first
                raise
    return True


def _settings_of(folder: str) -> dict | None:
    """Settings a folder was written with; None if it was not by us."""
    try:
        with open(os.path.join(folder, SETTINGS_FILE)) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def _write_splits(root: str, settings: dict, progress: bool) -> None:
    """Draw and write both splits."""
    scenes = [
        (part, name, number)
        for part, name in enumerate(('train', 'val'))
        for number in range(settings[f'num_{name}'])
    ]
    if progress:
        scenes = track_iter_progress(scenes, file=sys.stderr)
    for part, name, number in scenes:
        arrays = draw_scene((settings['seed'], part, number), settings['size'])
        for (folder, suffix), array in zip(_FOLDERS.items(), arrays):
            place = os.path.join(root, folder, f'{name}2017')
            os.makedirs(place, exist_ok=True)
            flags = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if suffix == '.jpg' else []
            # OpenCV writes only where the path is text
            with open(os.path.join(place, f'{number:06d}{suffix}'), 'wb') as file:
                file.write(cv2.imencode(suffix, array, flags)[1].tobytes())
