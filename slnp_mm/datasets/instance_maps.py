"""Make instance maps: layers of ids (K, H, W) and the class of each id."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .errors import DataError
from .label_codec import UNLABELLED

_SLIVER = 0.1
_MOST_IDS = 32767


class Instances(NamedTuple):
    """Instances of one picture, ordered by decreasing area.

    Args:
        layers (ndarray): (K, H, W), int16, ids 0..n-1, -1 = none. The mask
            of instance i is ``(layers == i).any(0)``.
        classes (ndarray): (n, ), int16, class of each, 0..C-1.
    """

    layers: np.ndarray
    classes: np.ndarray


def from_label(label: np.ndarray) -> Instances:
    """Take the connected components (8 neighbours) of each class.

    Args:
        label (ndarray): (H, W), uint8, 0..C-1 or 255.

    Returns:
        Instances: One layer; each labelled pixel has exactly one id.
    """
    ids = np.full(label.shape, -1, np.int32)
    classes: list[int] = []
    for cls in _present(label):
        count, parts = cv2.connectedComponents((label == cls).astype(np.uint8), connectivity=8)
        np.copyto(ids, parts + (len(classes) - 1), where=parts > 0)
        classes += [cls] * (count - 1)
    return Instances(ids[None], np.asarray(classes, np.int64))


def from_ids(
    raw: np.ndarray,
    label: np.ndarray,
    background: Sequence[int] = (),
    path: str = 'the id map',
) -> Instances:
    """Read an id map in which every object has its own number.

    The class of an id is the majority label under it. Ids may repeat
    across classes (SPADE numbers things from 0 while stuff keeps its class
    id): a part of an id with another class becomes an instance of its own
    if it has at least a tenth of the id's pixels; a smaller sliver stays.
    Unlabelled pixels keep their id where the object has labelled ones.

    Source:
        ours: the rule for repeated ids, so that no object changes class.

    Args:
        raw (ndarray): (H, W), integers.
        label (ndarray): (H, W), uint8, 0..C-1 or 255.
        background (Sequence[int]): Ids that mean "no object"; their pixels
            become one instance a class. Defaults to ().
        path (str): Name of the file, for the error text.

    Returns:
        Instances: One layer; each labelled pixel has exactly one id.

    Raises:
        DataError: If there are more than 32767 ids, as in a photograph.
    """
    uniq, inverse = _unique(raw)
    num = len(uniq)
    if num > _MOST_IDS:
        raise DataError(
            f'{path} has {num} different instance ids, expected at most '
            f'{_MOST_IDS}; is it a photograph instead of an id map?'
        )
    pair = inverse.astype(np.int64) * 256 + label
    counts = np.bincount(pair.ravel(), minlength=num * 256).reshape(num, 256)
    counts = counts[:, :UNLABELLED]
    total = counts.sum(1)
    major = counts.argmax(1)
    own = np.isin(uniq, np.asarray(list(background), np.int64))
    split = counts >= np.maximum(_SLIVER * total, 1)[:, None]
    split[own] = counts[own] > 0
    split[np.arange(num), major] |= (total > 0) & ~own
    table = np.full((num, 256), -1, np.int32)
    index, cls = np.nonzero(split)
    table[index, cls] = np.arange(len(index))
    home = np.where((total > 0) & ~own, table[np.arange(num), major], -1)
    table = np.where(table < 0, home[:, None], table)
    ids = table.ravel()[pair]
    classes = cls.astype(np.int64)
    if own.any():
        ids, classes = _join_regions(ids, classes, own[index])
    return Instances(ids[None], classes)


def _join_regions(ids: np.ndarray, classes: np.ndarray, region: np.ndarray) -> tuple:
    """Join background parts of one class into one instance."""
    target = np.arange(len(classes))
    first = {}
    for i in np.nonzero(region)[0]:
        target[i] = first.setdefault(int(classes[i]), i)
    return np.where(ids >= 0, target[ids], -1), classes


def from_masks(
    masks: Sequence[np.ndarray],
    classes: Sequence[int],
    label: np.ndarray,
    max_overlap: int,
) -> Instances:
    """Pack masks that may overlap into ``max_overlap`` layers.

    Where more masks meet than there are layers, the smallest are kept.
    Labelled pixels under no mask become one instance a class.

    Args:
        masks (Sequence[ndarray]): Each (H, W), bool.
        classes (Sequence[int]): Class of each mask, 0..C-1.
        label (ndarray): (H, W), uint8, 0..C-1 or 255.
        max_overlap (int): Number of layers K, >= 1.

    Returns:
        Instances: K layers; each labelled pixel has at least one id.
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


def limit(found: Instances, max_instances: int, path: str) -> Instances:
    """Order by area and merge the smallest, class by class.

    Args:
        found (Instances): Any number of instances, in any order.
        max_instances (int): T_max, >= 1; merged instances count within it.
        path (str): Name of the file, for the error text.

    Returns:
        Instances: At most T_max, by decreasing area, none of them empty.

    Raises:
        DataError: If there are more classes than ``max_instances``.
    """
    layers, classes = found
    area = _areas(layers, len(classes))
    order = np.argsort(-area, kind='stable')
    order = order[area[order] > 0]
    if len(order) > max_instances:
        layers, classes = _merge(layers, classes, order, max_instances, path)
        area = _areas(layers, len(classes))
        order = np.argsort(-area, kind='stable')
        order = order[area[order] > 0]
    return reorder(layers, classes, order)


def reorder(layers: np.ndarray, classes: np.ndarray, order: np.ndarray) -> Instances:
    """Renumber so that ``order[i]`` becomes id i; the others vanish."""
    kept = classes[order].astype(np.int16)
    if len(classes) < UNLABELLED and len(order) < 128:
        small = np.full((256, 1), -1, np.int8)  # 255 is -1 as int8
        small[order, 0] = np.arange(len(order))
        found = [cv2.LUT(layer.astype(np.uint8), small) for layer in layers]
        return Instances(np.stack(found).astype(np.int16), kept)
    table = np.full(len(classes) + 1, -1, np.int16)
    table[order] = np.arange(len(order))
    return Instances(table[layers], kept)


def by_area(layers: np.ndarray, classes: np.ndarray) -> Instances:
    """Renumber by decreasing area and drop instances without pixels.

    Args:
        layers (ndarray): (K, H, W), integers, -1 = none.
        classes (ndarray): (n, ), class of each id.

    Returns:
        Instances: The instances that have pixels left.
    """
    area = _areas(layers, len(classes))
    order = np.argsort(-area, kind='stable')
    return reorder(layers, classes, order[area[order] > 0])


def _merge(
    layers: np.ndarray,
    classes: np.ndarray,
    order: np.ndarray,
    max_instances: int,
    path: str,
) -> tuple:
    """Keep as many large instances as possible, join the rest by class."""
    kinds = classes[order]
    seen = set()
    for keep in range(len(order) - 1, -1, -1):
        seen.add(int(kinds[keep]))
        if keep + len(seen) <= max_instances:
            break
    else:
        raise DataError(
            f'{path} has {len(seen)} classes, more than max_instances='
            f'{max_instances} can hold; set max_instances higher'
        )
    table = np.full(len(classes) + 1, -1, np.int32)
    table[order[:keep]] = np.arange(keep)
    joined = np.unique(kinds[keep:])
    place = {int(c): keep + i for i, c in enumerate(joined)}
    table[order[keep:]] = [place[int(c)] for c in kinds[keep:]]
    layers = table[layers]
    for k in range(1, len(layers)):
        for lower in layers[:k]:
            layers[k][layers[k] == lower] = -1
    return layers, np.concatenate([kinds[:keep], joined])


def _areas(layers: np.ndarray, num: int) -> np.ndarray:
    """Pixels of each id, (num, ), int64."""
    if num < UNLABELLED:  # -1 becomes 255
        return histogram(layers.astype(np.uint8))[:num]
    return np.bincount(layers.ravel().astype(np.intp) + 1, minlength=num + 1)[1:]


def histogram(values: np.ndarray) -> np.ndarray:
    """Count the values of a uint8 array: (256, ), int64."""
    if not values.size:
        return np.zeros(256, np.int64)
    flat = np.ascontiguousarray(values).reshape(-1, 1)
    counts = cv2.calcHist([flat], [0], None, [256], [0, 256])
    return counts[:, 0].astype(np.int64)


def _present(label: np.ndarray) -> list[int]:
    """Classes that occur, ascending, without 255."""
    counts = histogram(label)
    return [int(c) for c in np.nonzero(counts[:UNLABELLED])[0]]


def _unique(raw: np.ndarray) -> tuple:
    """Sorted ids and the place of each pixel's id among them."""
    if raw.dtype == np.uint8:
        counts = histogram(raw)
        uniq = np.nonzero(counts)[0]
        table = np.zeros(256, np.int32)
        table[uniq] = np.arange(len(uniq))
        return uniq, table[raw]
    uniq, inverse = np.unique(raw, return_inverse=True)
    return uniq.astype(np.int64), inverse.reshape(raw.shape)
