"""Overlapping masks from a COCO ``instances_*.json``."""

import os

import numpy as np

from .errors import DataError


class COCOInstanceIndex:
    """Masks of each picture of a COCO annotation file.

    The file is only read when a picture's instances are not in the cache
    yet; ``tools/check_dataset.py`` fills the cache in one go.

    Args:
        json_file (str): Path of ``instances_*.json``.
        category_map (dict[int, int], optional): From category id to class
            index; None means category id - 1 (182 raw classes).
        num_classes (int): C.
    """

    def __init__(
        self,
        json_file: str,
        category_map: dict[int, int] | None,
        num_classes: int,
    ) -> None:
        self.json_file = json_file
        self.category_map = category_map
        self.num_classes = num_classes
        self._coco = None
        self._ids: dict[str, int] = {}

    def _load(self) -> None:
        """Read the annotation file through pycocotools."""
        try:
            from pycocotools.coco import COCO
        except ImportError as error:
            raise DataError(
                'instances from a COCO JSON need pycocotools; install it '
                'with: pip install pycocotools'
            ) from error
        if not os.path.isfile(self.json_file):
            raise DataError(
                f'instance file {self.json_file} not found; '
                'check instance_json in the config'
            )
        import contextlib
        import io

        with contextlib.redirect_stdout(io.StringIO()):
            try:
                self._coco = COCO(self.json_file)
            except (ValueError, KeyError, AssertionError) as error:
                raise DataError(
                    f'{self.json_file} is not a COCO instances file '
                    f'({error!r}); expected images, annotations and '
                    'categories'
                ) from error
        self._ids = {
            os.path.basename(img['file_name']): key
            for key, img in self._coco.imgs.items()
        }

    def masks(
        self, img_path: str, shape: tuple[int, int]
    ) -> tuple[list[np.ndarray], list[int]]:
        """Masks and classes of one picture.

        Args:
            img_path (str): The picture; its file name is looked up.
            shape (tuple[int]): Height and width its label has.

        Returns:
            tuple: Masks, each (H, W) bool, and their class indices. Crowd
            regions are left out: their pixels become one instance a class.

        Raises:
            DataError: If the picture is not listed or sizes differ.
        """
        if self._coco is None:
            self._load()
        name = os.path.basename(img_path)
        if name not in self._ids:
            raise DataError(
                f'{name} is not listed in {self.json_file}; is '
                'it the JSON of another split?'
            )
        key = self._ids[name]
        info = self._coco.imgs[key]
        if (info['height'], info['width']) != tuple(shape):
            raise DataError(
                f'{self.json_file} says {name} is {info["width"]}x'
                f'{info["height"]}, its label is {shape[1]}x{shape[0]} '
                '(width x height); resized labels need resized instances'
            )
        masks, classes = [], []
        for ann in self._coco.loadAnns(
            self._coco.getAnnIds(imgIds=key, iscrowd=False)
        ):
            masks.append(self._coco.annToMask(ann).astype(bool))
            classes.append(self._class_of(ann['category_id']))
        return masks, classes

    def _class_of(self, category: int) -> int:
        """Class index of a category id."""
        if self.category_map is None:
            cls = category - 1
        else:
            cls = self.category_map.get(category, -1)
        if not 0 <= cls < self.num_classes:
            raise DataError(
                f'category id {category} of {self.json_file} has no class '
                f'in 0..{self.num_classes - 1}; check category_map'
            )
        return cls
