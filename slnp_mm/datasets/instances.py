"""Instances as layers of ids (K, H, W) with the class of each, and how to make them.

A label is (H, W), uint8, 0..C-1 or 255 = unlabelled. A path only names the file in error texts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import DataError
from .coco import draw_object
from .codec import UNLABELLED, whole
from .files import decode_ids, id24, read_bytes

_SLIVER = 0.1
_MOST_IDS = 32767


class Instances(NamedTuple):
    """Instances of one image, ordered by decreasing area.

    Args:
        layers (ndarray): (K, H, W), int16, ids 0..n-1, -1 = none. The mask of instance i is
            ``(layers == i).any(0)``.
        classes (ndarray): (n, ), int16, class of each, 0..C-1.
    """

    layers: np.ndarray
    classes: np.ndarray


def from_label(label: np.ndarray) -> Instances:
    """One layer: the connected components (8 neighbors) of each class."""
    ids = np.full(label.shape, -1, np.int32)
    classes: list[int] = []
    for cls in _present(label):
        count, parts = cv2.connectedComponents((label == cls).astype(np.uint8), connectivity=8)
        np.copyto(ids, parts + (len(classes) - 1), where=parts > 0)
        classes += [cls] * (count - 1)
    return Instances(ids[None], np.asarray(classes, np.int64))


def from_ids(
    raw: np.ndarray, label: np.ndarray, background: Sequence[int] = (), path: str = 'the id map'
) -> Instances:
    """Read an id map, (H, W), integers, in which each object has its own number.

    The class of an id is the majority label under it. Ids may repeat across classes (SPADE numbers
    things from 0 while stuff keeps its class id): where another class covers at least a tenth of an
    id's pixels, that part becomes an instance of its own; smaller slivers stay. Unlabelled pixels
    keep their id if the object also has labelled ones. ``background`` ids mean "no object" and give
    one instance per class.

    Source:
        ours: the rule for repeated ids, so that no object changes class.

    Returns:
        Instances: One layer; each labelled pixel has exactly one id.

    Raises:
        DataError: If there are more than 32767 ids, as in a real image.
    """
    if raw.dtype == np.uint8:  # faster
        uniq, inverse = np.arange(256), raw.astype(np.uint16)
    else:
        uniq, inverse = np.unique(raw, return_inverse=True)
    num = len(uniq)
    if num > _MOST_IDS:
        raise DataError(
            f'{path} has {num} different instance ids, expected at most {_MOST_IDS}; is it an '
            'image instead of an id map?'
        )

    # pixels of each class under each id
    pair = inverse.reshape(raw.shape) * 256 + label
    counts = np.bincount(pair.ravel(), minlength=num * 256).reshape(num, 256)[:, :UNLABELLED]
    total, major = counts.sum(1), counts.argmax(1)
    own = np.isin(uniq, np.asarray(list(background), np.int64))
    things = (total > 0) & ~own

    # which pairs become instances
    split = counts >= np.maximum(_SLIVER * total, 1)[:, None]
    split[own] = counts[own] > 0
    split[np.arange(num), major] |= things
    index, classes = np.nonzero(split)

    # number of each pair; slivers and unlabelled pixels join the majority
    table = np.full((num, 256), -1, np.int32)
    table[index, classes] = np.arange(len(index))
    home = np.where(things, table[np.arange(num), major], -1)
    table = np.where(table < 0, home[:, None], table).ravel()

    # one background instance per class
    target, first = np.arange(len(classes)), {}
    for i in np.nonzero(own[index])[0]:
        target[i] = first.setdefault(int(classes[i]), i)
    return Instances(np.append(target, -1)[table][pair][None], classes)


def from_masks(
    masks: Sequence[np.ndarray], classes: Sequence[int], label: np.ndarray, max_overlap: int
) -> Instances:
    """Pack masks, (H, W), bool, that may overlap into K = ``max_overlap`` layers.

    Where masks outnumber the layers, the smallest are kept. Labelled pixels under no mask become
    one instance per class.
    """
    layers = np.full((max_overlap, *label.shape), -1, np.int32)
    depth = np.zeros(label.shape, np.int32)
    kinds: list[int] = []
    for i in np.argsort([m.sum() for m in masks], kind='stable'):
        free = masks[i] & (depth < max_overlap)
        if not free.any():
            continue
        rows, cols = np.nonzero(free)
        layers[depth[rows, cols], rows, cols] = len(kinds)
        depth[rows, cols] += 1
        kinds.append(int(classes[i]))
    bare = (depth == 0) & (label != UNLABELLED)
    for cls in _present(label[bare]):
        layers[0][bare & (label == cls)] = len(kinds)
        kinds.append(cls)
    return Instances(layers, np.asarray(kinds, np.int64))


def keep_largest(found: Instances, max_instances: int, path: str) -> Instances:
    """Sort by area, drop empty ones and merge the smallest by class, down to T_max.

    Raises:
        DataError: If there are more classes than ``max_instances``.
    """
    layers, classes = found
    order = _order(layers, len(classes))
    if len(order) > max_instances:
        layers, classes = _merge(layers, classes, order, max_instances, path)
    return by_area(layers, classes)


def by_area(layers: np.ndarray, classes: np.ndarray) -> Instances:
    """Renumber (K, H, W) ids by decreasing area and drop those without pixels."""
    order = _order(layers, len(classes))
    table = np.full(len(classes) + 1, -1, np.int16)
    table[order] = np.arange(len(order))
    return Instances(table[layers], classes[order].astype(np.int16))


def _order(layers: np.ndarray, num: int) -> np.ndarray:
    """Ids that have pixels, largest first."""
    area = np.bincount(layers.ravel() + 1, minlength=num + 1)[1:]
    order = np.argsort(-area, kind='stable')
    return order[area[order] > 0]


def _merge(
    layers: np.ndarray, classes: np.ndarray, order: np.ndarray, max_instances: int, path: str
) -> Instances:
    """Keep as many large instances as possible and merge the rest by class."""
    kinds = classes[order]
    seen = set()
    for keep in range(len(order) - 1, -1, -1):
        seen.add(int(kinds[keep]))
        if keep + len(seen) <= max_instances:
            break
    else:
        raise DataError(
            f'{path} has {len(seen)} classes, more than max_instances={max_instances} can hold; '
            'set max_instances higher'
        )
    joined, rest = np.unique(kinds[keep:], return_inverse=True)
    table = np.full(len(classes) + 1, -1, np.int32)
    table[order[:keep]] = np.arange(keep)
    table[order[keep:]] = keep + rest
    layers = table[layers]

    # count a pixel once where overlapping masks were merged
    for k in range(1, len(layers)):
        for lower in layers[:k]:
            layers[k][layers[k] == lower] = -1
    return Instances(layers, np.concatenate([kinds[:keep], joined]))


def _present(label: np.ndarray) -> list[int]:
    """Classes that occur, ascending, without 255."""
    return np.flatnonzero(np.bincount(label.ravel(), minlength=256)[:UNLABELLED]).tolist()


class InstanceSource:
    """Makes an image's instances from its id map, its objects in a COCO JSON, or its label.

    Args:
        background_ids (Sequence[int]): Ids in id maps that mean "no object".
        background_below (int, optional): Smaller ids also mean "no object" (Cityscapes: 1000).
        json_file (str, optional): COCO ``instances_*.json``.
        category_map (dict[int, int], optional): From category id in the JSON to class index.
            Defaults to category id - 1.
        num_classes (int): C, to check the JSON's classes.
    """

    def __init__(
        self,
        background_ids: Sequence[int] = (),
        background_below: int | None = None,
        json_file: str | None = None,
        category_map: dict | None = None,
        num_classes: int = 255,
    ) -> None:
        self.background_ids = tuple(background_ids)
        self.background_below = background_below
        self.json_file = json_file
        if category_map is None:
            category_map = {cls + 1: cls for cls in range(num_classes)}
        self.category_map = dict(zip(whole('category_map', category_map), category_map.values()))
        self.num_classes = num_classes

    def make(
        self,
        label: np.ndarray,
        img_path: str,
        instances: str | np.ndarray | list[dict] | None,
        max_instances: int,
        max_overlap: int,
    ) -> Instances:
        """Make the instances of one image: at most ``max_instances`` (T_max), largest first.

        Args:
            label (ndarray): (H, W), uint8, 0..C-1 or 255.
            img_path (str): The image, for error texts.
            instances (str | ndarray | list[dict], optional): The id map, a file or (H, W) integers;
                or what ``find_image`` found in the JSON.
            max_instances (int): T_max.
            max_overlap (int): Layers K.

        Raises:
            DataError: If sizes differ, or ids or objects cannot be read.
        """
        if isinstance(instances, list):
            found = from_masks(*self.masks(instances, img_path, label.shape), label, max_overlap)
        else:
            given = isinstance(instances, np.ndarray) or instances
            layers, classes = self._from_map(label, instances) if given else from_label(label)
            room = ((0, max_overlap - 1), (0, 0), (0, 0))
            found = Instances(np.pad(layers, room, constant_values=-1), classes)
        where = instances if isinstance(instances, str) and instances else img_path
        return keep_largest(found, max_instances, where)

    def _from_map(self, label: np.ndarray, instances: str | np.ndarray) -> Instances:
        """Read an id map of 8, 16, 24 or 32 bits."""
        raw, path = instances, 'the id map'
        if isinstance(instances, str):
            raw, path = decode_ids(read_bytes(instances), instances), instances
        if raw.ndim == 3:
            raw = id24(raw)
        if raw.shape != label.shape:
            raise DataError(
                f'instance map {path} is {raw.shape[1]}x{raw.shape[0]}, but its label is '
                f'{label.shape[1]}x{label.shape[0]} (width x height); both must have the same size'
            )
        background = set(self.background_ids)
        if self.background_below is not None:
            background |= set(np.unique(raw[raw < self.background_below]).tolist())
        return from_ids(raw, label, sorted(background), path)

    def masks(
        self, found: list[dict], img_path: str, shape: tuple[int, int]
    ) -> tuple[list[np.ndarray], list[int]]:
        """Rasterize what ``find_image`` found: masks, (H, W) bool, and their classes."""
        if len(found) != 1:
            raise DataError(
                f'{img_path} is listed {len(found)} times in {self.json_file}, expected once; is '
                'it the JSON of another split, or do its file names lack their folders?'
            )
        (image,) = found
        name, height, width = image['file_name'], image['height'], image['width']
        if height is None or width is None:
            raise DataError(f'{self.json_file}: image {name} has no height or width; add them')
        if (height, width) != shape:
            raise DataError(
                f'{self.json_file} says {name} is {width}x{height}, its label is '
                f'{shape[1]}x{shape[0]} (width x height); resized labels need resized instances'
            )
        masks, classes = [], []
        for one in image['objects']:
            where = f'annotation {one["id"]} of {name} in {self.json_file}'
            cls = self.category_map.get(one['category_id'], -1)
            if not 0 <= cls < self.num_classes:
                raise DataError(
                    f'{where}: category id {one["category_id"]} has no class in '
                    f'0..{self.num_classes - 1}; check category_map'
                )
            classes.append(cls)
            masks.append(draw_object(one, image, where))
        return masks, classes
