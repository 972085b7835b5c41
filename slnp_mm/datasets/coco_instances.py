"""Overlapping masks from a COCO ``instances_*.json``."""

import contextlib
import io
import os

import numpy as np

from .errors import DataError

_MALFORMED = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    AssertionError,
)


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
        self._keys: dict[str, list[int]] = {}

    def load(self) -> None:
        """Read the annotation file through pycocotools, once.

        Raises:
            DataError: If it is missing or not a COCO instances file.
        """
        if self._coco is not None:
            return
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
                "check instance=dict(json_file='...') in the config"
            )
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                coco = COCO(self.json_file)
                for key, img in coco.imgs.items():
                    name = os.path.basename(img['file_name'])
                    self._keys.setdefault(name, []).append(key)
            except _MALFORMED as error:
                raise self._malformed(error) from error
        self._coco = coco

    def _malformed(self, error: Exception) -> DataError:
        """The error for a file that lacks what is read from it."""
        return DataError(
            f'{self.json_file} is not a COCO instances file ({error!r}); '
            'expected images (id, file_name, height, width), annotations '
            '(id, image_id, category_id, segmentation) and categories'
        )

    def _find(self, img_path: str) -> int:
        """Key of a picture: by name, and by folder where names repeat."""
        keys = self._keys.get(os.path.basename(img_path), [])
        if len(keys) > 1:
            path = '/' + os.path.abspath(img_path).lstrip('/')
            names = {k: self._coco.imgs[k]['file_name'] for k in keys}
            keys = [k for k in keys if path.endswith('/' + names[k])]
        if len(keys) != 1:
            raise DataError(
                f'{img_path} is listed {len(keys)} times in '
                f'{self.json_file}, expected once; is it the JSON of another '
                'split, or do its file names lack their folders?'
            )
        return keys[0]

    def masks(self, img_path: str, shape: tuple[int, int]) -> tuple[list[np.ndarray], list[int]]:
        """Masks and classes of one picture.

        Args:
            img_path (str): The picture; its file name is looked up.
            shape (tuple[int]): Height and width its label has.

        Returns:
            tuple: Masks, each (H, W) bool, and their class indices. Crowd
            regions are left out: their pixels become one instance a class.

        Raises:
            DataError: If the picture is not listed once, sizes differ or
                the file lacks something.
        """
        self.load()
        key = self._find(img_path)
        try:
            return self._read(key, tuple(shape))
        except DataError:
            raise
        except _MALFORMED as error:
            raise self._malformed(error) from error

    def _read(self, key: int, shape: tuple[int, int]) -> tuple[list, list]:
        """Masks and classes of one picture by its key."""
        info = self._coco.imgs[key]
        if (info['height'], info['width']) != shape:
            raise DataError(
                f'{self.json_file} says {info["file_name"]} is '
                f'{info["width"]}x{info["height"]}, its label is '
                f'{shape[1]}x{shape[0]} (width x height); resized labels '
                'need resized instances'
            )
        masks, classes = [], []
        for ann in self._coco.loadAnns(self._coco.getAnnIds(imgIds=key)):
            if not ann.get('iscrowd'):
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
