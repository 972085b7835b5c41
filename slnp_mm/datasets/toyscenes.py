"""ToyScenes, the embedded data set."""

import os

from mmagic.registry import DATASETS

from .errors import DataError
from .slnp_dataset import SLNPDataset
from .toyscenes_palette import CLASSES, PALETTE


@DATASETS.register_module()
class SLNPToyScenes(SLNPDataset):
    """Drawn street and landscape scenes, written by make_toyscenes.

    ::

        ROOT/images/{train2017,val2017}/*.jpg
        ROOT/stuffthingmaps/{train2017,val2017}/*.png   0..9, 255
        ROOT/instances/{train2017,val2017}/*.png        ids, 255 = none

    Args:
        split (str): 'train2017' or 'val2017'.
        data_prefix (dict, optional): Overrides the folders of ``split``.
        **kwargs: See ``SLNPDataset``.
    """

    METAINFO = dict(classes=CLASSES, palette=PALETTE)

    def __init__(
        self,
        data_root: str = 'data/toyscenes',
        split: str = 'train2017',
        data_prefix: dict | None = None,
        **kwargs,
    ) -> None:
        prefix = dict(
            img=f'images/{split}',
            label=f'stuffthingmaps/{split}',
            instance=f'instances/{split}',
        )
        super().__init__(
            data_root=data_root,
            data_prefix={**prefix, **(data_prefix or {})},
            **kwargs,
        )

    def find_files(self, key: str) -> dict[str, str]:
        """Find the files of one kind; see ``SLNPDataset``.

        Raises:
            DataError: If there is none; a missing root gives the command
                that draws the set.
        """
        if self.data_root and not os.path.isdir(self.data_root):
            raise DataError(
                f'data root {self.data_root} not found; draw it with '
                f'"python tools/make_toyscenes.py --out {self.data_root}"'
            )
        return super().find_files(key)
