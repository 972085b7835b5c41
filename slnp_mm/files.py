"""Writing files so that nobody ever meets half of one."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np


@contextmanager
def replace_file(path: str | os.PathLike) -> Iterator[str]:
    """Write a file under another name; move it into place at the end.

    The folder is made. If the block raises, the file that was there stays, and nothing is left
    beside it; a refusal of the system that names no file (a full disk) gets the name. The other
    name is hidden and keeps the ending, by which OpenCV and mmengine choose the format.

    Args:
        path (str or PathLike): The file to write or to replace.

    Yields:
        str: The name to write to, in the same folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'.{uuid.uuid4().hex}{path.suffix}')

    try:
        yield str(draft)
        os.replace(draft, path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def write_picture(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write a PNG file; its folder is made.

    Args:
        path (str or PathLike): The file.
        image (ndarray): (H, W, 3), RGB, uint8.
    """
    # OpenCV writes only where the path is text
    with replace_file(path) as draft, open(draft, 'wb') as file:
        file.write(cv2.imencode('.png', image[..., ::-1])[1])


def remove_drafts(folder: str | os.PathLike) -> None:
    """Remove what :func:`replace_file` left in a folder because the process was killed."""
    for path in Path(folder).glob('.*'):
        if re.fullmatch(r'\.[0-9a-f]{32}', path.stem):
            path.unlink()
