"""Objects of a COCO ``instances_*.json``, indexed and rasterized by pycocotools."""

import json
import logging
import os
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from mmengine.logging import print_log

from ..errors import DataError, SLNPError
from .files import one_form, read_bytes


def read_coco(path: str) -> dict[str, list[dict]]:
    """Read the images of a COCO instances file and their objects.

    Crowds are skipped; so are annotations without an outline, which the log counts.

    Returns:
        dict[str, list[dict]]: The images of each file name without folder: ``file_name``,
        ``height``, ``width`` and ``objects`` (id, category_id, segmentation).

    Raises:
        DataError: If it is no instances file, or an image would lose all its objects.
    """
    coco = _new_coco()
    try:
        coco.dataset = json.loads(read_bytes(path).decode('utf-8-sig'))
        if any('segments_info' in one for one in coco.dataset['annotations']):
            raise DataError(
                f'{path} is a COCO panoptic JSON, expected an instances JSON; set '
                'data_prefix=dict(instance=...) to the folder of the panoptic PNGs instead'
            )
        with redirect_stdout(None):  # it prints its progress
            coco.createIndex()
        for image in coco.dataset['images']:
            image['file_name'] = one_form(image['file_name'].replace('\\', '/'))
    except SLNPError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f'{path} is not a COCO instances file ({error!r}); expected images (id, file_name, '
            'height, width), annotations (id, image_id, category_id, segmentation) and categories'
        ) from error

    # objects by image, without those that have no mask
    found: dict[str, list[dict]] = {}
    strays = [one for key, many in coco.imgToAnns.items() if key not in coco.imgs for one in many]
    bare: list[dict] = []
    for key, image in coco.imgs.items():
        objects = [one for one in coco.imgToAnns[key] if not one.get('iscrowd')]
        drawn = [one for one in objects if _outline(one)]
        bare += [one for one in objects if not _outline(one)]
        if objects and not drawn:
            raise DataError(
                f'{path}: none of the {len(objects)} annotations of {image["file_name"]} has an '
                'outline, so all its objects would be lost; export polygons or run lengths, '
                'not boxes, or remove these annotations'
            )
        entry = {name: image.get(name) for name in ('file_name', 'height', 'width')}
        keys = ('id', 'category_id', 'segmentation')
        entry['objects'] = [{name: one.get(name) for name in keys} for one in drawn]
        found.setdefault(os.path.basename(entry['file_name']), []).append(entry)
    if len(strays) == len(coco.dataset['annotations']):
        raise DataError(
            f'{path} has {len(strays)} annotations, none of an image that it lists; expected '
            'annotations whose image_id is the id of an image'
        )
    for what, many in (
        ('of an image that it does not list', strays),
        ('without an outline (segmentation empty, absent or of fewer than three points)', bare),
    ):
        if many:
            key = many[0]['image_id']
            text = f'{path}: {len(many)} annotations {what} are skipped, first annotation '
            text += f'{many[0]["id"]} of image {coco.imgs.get(key, {}).get("file_name", key)}'
            print_log(text, 'current', logging.WARNING)
    return found


def find_image(images: dict[str, list[dict]], img_path: str) -> list[dict]:
    """Look up an image by its name, and by its folder where names repeat."""
    path = '/' + one_form(os.path.abspath(img_path)).lstrip('/')
    found = images.get(os.path.basename(path), [])
    if len(found) > 1:
        found = [one for one in found if path.endswith('/' + one['file_name'])]
    return found


def draw_object(one: dict, image: dict, where: str) -> np.ndarray:
    """Rasterize an object, which error texts call ``where``, to (H, W), bool."""
    outline, shape = _outline(one), (image['height'], image['width'])
    coco = _new_coco()
    coco.imgs = {None: image}
    try:
        if isinstance(outline, dict):
            size, counts = tuple(outline['size']), outline['counts']
            if size != shape:
                raise ValueError(
                    f'its run lengths are of {size[1]}x{size[0]}, its image is '
                    f'{shape[1]}x{shape[0]} (width x height)'
                )
            if isinstance(counts, list) and sum(counts) != shape[0] * shape[1]:
                raise ValueError(
                    f'its run lengths add up to {sum(counts)} pixels, expected '
                    f'{shape[0] * shape[1]}'
                )
        elif any(len(polygon) % 2 for polygon in outline):
            raise ValueError('a polygon with an odd number of values')
        return coco.annToMask(dict(image_id=None, segmentation=outline)).astype(bool)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(
            f'{where}: its segmentation cannot be drawn ({error!r}); expected polygons '
            '[[x, y, x, y, ...], ...] or run lengths (size, counts); export it again'
        ) from error


def _outline(one: dict) -> list | dict:
    """Polygons of at least three points, or the run lengths, of an object."""
    outline = one.get('segmentation') or []
    if isinstance(outline, list):  # anything else is kept, and refused when drawn
        return [part for part in outline if not isinstance(part, list) or len(part) >= 6]
    return outline


def _new_coco() -> Any:
    """An empty index of pycocotools, an optional requirement."""
    try:
        from pycocotools.coco import COCO
    except ImportError as error:
        raise DataError(
            'instances from a COCO JSON need pycocotools; install it with: pip install pycocotools'
        ) from error
    return COCO()
