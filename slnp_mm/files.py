"""Write files atomically."""

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
    """Write to a temporary name, which is moved to ``path`` at the end; its folder is made.

    If the block raises, an existing file stays and nothing is left beside it; an OSError that names
    no file (a full disk) gets the name. The temporary name is hidden and keeps the suffix, from
    which OpenCV and mmengine choose the format.

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


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write (H, W, 3), RGB, or (H, W), uint8, as a PNG file; its folder is made."""
    # cv2.imwrite fails on paths that are not valid text
    with replace_file(path) as draft, open(draft, 'wb') as file:
        file.write(cv2.imencode('.png', image[..., ::-1] if image.ndim == 3 else image)[1])


def remove_drafts(folder: str | os.PathLike) -> None:
    """Remove what :func:`replace_file` left in a folder when a process was killed."""
    for path in Path(folder).glob('.*'):
        if re.fullmatch(r'\.[0-9a-f]{32}', path.stem):
            path.unlink()
