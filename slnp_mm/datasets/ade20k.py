"""ADE20K scene parsing, 150 classes."""

from mmagic.registry import DATASETS

from .slnp_dataset import SLNPDataset


@DATASETS.register_module()
class SLNPADE20K(SLNPDataset):
    """ADE20K SceneParsing: 150 classes, 0 = unlabelled in the files.

    ::

        ROOT/images/{training,validation}/*.jpg
        ROOT/annotations/{training,validation}/*.png   0, 1..150

    Instances are connected components, as SceneParsing has none.

    Args:
        split (str): 'training' or 'validation'.
        data_prefix (dict, optional): Overrides the folders of ``split``.
        **kwargs: See ``SLNPDataset``.
    """

    MMSEG_NAME = 'ADE20KDataset'
    LABEL = dict(reduce_zero_label=True)

    def __init__(
        self,
        data_root: str = 'data/ade/ADEChallengeData2016',
        split: str = 'training',
        data_prefix: dict | None = None,
        **kwargs,
    ) -> None:
        prefix = dict(img=f'images/{split}', label=f'annotations/{split}')
        super().__init__(
            data_root=data_root,
            data_prefix={**prefix, **(data_prefix or {})},
            **kwargs,
        )
