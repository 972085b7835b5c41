"""Where the instances of a data set come from."""

from collections.abc import Sequence

import numpy as np

from .coco_instances import COCOInstanceIndex
from .errors import DataError
from .image_io import decode_ids, id24, read_bytes
from .instance_maps import Instances, from_ids, from_label, from_masks, limit

_VERSION = '1'


class InstanceSource:
    """Makes the instances of a picture from id map, JSON or label.

    Args:
        background_ids (Sequence[int]): Ids in id maps that mean "no
            object". Defaults to ().
        background_below (int, optional): Ids below this mean "no object"
            too (Cityscapes: 1000). Defaults to None.
        json_file (str, optional): COCO ``instances_*.json``.
        category_map (dict[int, int], optional): From category id in the
            JSON to class index. Defaults to category id - 1.
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
        self.num_classes = num_classes
        self.json_file = json_file
        self.index = COCOInstanceIndex(json_file, category_map, num_classes) if json_file else None

    def prepare(self) -> None:
        """Read the JSON now, so that processes forked later share it.

        Raises:
            DataError: If the JSON is missing or cannot be understood.
        """
        if self.index is not None:
            self.index.load()

    def stamp(self) -> str:
        """All settings that change the result, as text."""
        mapping = self.index.category_map if self.index else None
        return (
            f'{_VERSION}|{self.background_ids}|{self.background_below}|'
            f'{sorted(mapping.items()) if mapping else mapping}'
        )

    def make(
        self,
        label: np.ndarray,
        img_path: str,
        instance_path: str,
        max_instances: int,
        max_overlap: int,
    ) -> Instances:
        """Make the instances of one picture.

        Args:
            label (ndarray): (H, W), uint8, 0..C-1 or 255.
            img_path (str): The picture; its name is looked up in the JSON.
            instance_path (str): The id map, '' if there is none.
            max_instances (int): T_max.
            max_overlap (int): Layers K.

        Returns:
            Instances: At most T_max, by decreasing area.

        Raises:
            DataError: If sizes differ or ids cannot be read.
        """
        if self.index is not None:
            masks, classes = self.index.masks(img_path, label.shape)
            found = from_masks(masks, classes, label, max_overlap)
        elif instance_path:
            found = self._from_file(label, instance_path, max_overlap)
        else:
            found = self._pad(from_label(label), max_overlap)
        return limit(found, max_instances, instance_path or img_path)

    def _from_file(self, label: np.ndarray, path: str, max_overlap: int) -> Instances:
        """Read an id map of 8, 16, 24 or 32 bits."""
        raw = decode_ids(read_bytes(path), path)
        if raw.ndim == 3:
            raw = id24(raw)
        if raw.shape != label.shape:
            raise DataError(
                f'instance map {path} is {raw.shape[1]}x{raw.shape[0]}, but '
                f'its label is {label.shape[1]}x{label.shape[0]} '
                '(width x height); both must have one size'
            )
        background = set(self.background_ids)
        if self.background_below is not None:
            ids = np.unique(raw)
            background |= set(ids[ids < self.background_below].tolist())
        found = from_ids(raw, label, sorted(background), path)
        return self._pad(found, max_overlap)

    @staticmethod
    def _pad(found: Instances, max_overlap: int) -> Instances:
        """Add empty layers up to ``max_overlap``."""
        if max_overlap == 1:
            return found
        empty = np.full((max_overlap - 1, *found.layers.shape[1:]), -1, found.layers.dtype)
        return Instances(np.concatenate([found.layers, empty]), found.classes)
