"""Read a sample's image, label and instances."""

import numpy as np
from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...errors import DataError
from ..codec import LabelCodec
from ..files import decode_image, exif_orientation, header_size, read_bytes, reduction, turned
from ..instances import InstanceSource
from .processing import as_sides


@TRANSFORMS.register_module()
class SLNPLoadImage(BaseTransform):
    """Read and decode ``img_path``.

    Adds ``img`` (H, W, 3), BGR, uint8; ``ori_shape`` (H, W) before resizing; ``img_reduced``, the
    factor by which a JPEG was decoded smaller (1, 2, 4, 8); and ``orientation``, the file's EXIF
    orientation, 1..8, 1 = as stored, which is applied if the data set's ``exif_orientation`` says
    so.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if both sides stay at least as large as the
    data set's ``image_size``, to which ``SLNPResize`` then resizes.

    Raises:
        CorruptFileError: If the file cannot be decoded.
    """

    def transform(self, results: dict) -> dict:
        """Add ``img`` and ``ori_shape``."""
        path = results['img_path']
        data = read_bytes(path)
        size = header_size(data)
        orientation = exif_orientation(data)
        turn = orientation if results.get('exif_orientation') in ('images', 'both') else 1
        if size and turn > 4:  # rotated by 90 degrees
            size = size[::-1]

        wanted, reduce = results.get('image_size'), 1
        if wanted is not None and size and data[:2] == b'\xff\xd8':
            reduce = reduction(size, as_sides(wanted))

        image = turned(decode_image(data, path, reduce), turn)
        results['img'] = image
        results['img_reduced'] = reduce
        results['orientation'] = orientation
        results['ori_shape'] = image.shape[:2] if reduce == 1 else size
        results['img_shape'] = image.shape[:2]
        return results


@TRANSFORMS.register_module()
class SLNPLoadLabel(BaseTransform):
    """Read ``label_path``; adds ``label`` (H, W), uint8, 0..C-1 and 255 = unlabelled.

    Args:
        codec (LabelCodec, optional): Format of label files. A data set sets its own.

    Raises:
        CorruptFileError: If the file cannot be decoded.
        DataError: If an id is out of range or the size differs from the image's.
    """

    PROBLEM = 'ids'  # title of its errors in the check

    def __init__(self, codec: LabelCodec | None = None) -> None:
        self.codec = codec

    def transform(self, results: dict) -> dict:
        """Add ``label``."""
        path = results['label_path']
        label = turned(self.codec.read(path), label_turn(results))
        shape = tuple(results.get('ori_shape', label.shape))
        if label.shape != shape:
            hint = ''
            if label.shape[::-1] == shape:
                hint = (
                    '; does the JPEG carry an EXIF rotation? Then set exif_orientation of the data '
                    "set to 'images' if the labels were drawn on the displayed image"
                )
            raise DataError(
                f'label {path} is {label.shape[1]}x{label.shape[0]}, but image '
                f'{results["img_path"]} is {shape[1]}x{shape[0]} (width x height); both must have '
                f'the same size{hint}',
                kind='size',
            )
        results['label'] = label
        return results


@TRANSFORMS.register_module()
class SLNPLoadInstances(BaseTransform):
    """Add the instances: from id map, COCO JSON or connected components.

    Adds ``instances`` (K, H, W), int16, -1 = none, and ``instance_labels`` (n, ), int16, n <=
    T_max. Must come directly after ``SLNPLoadLabel``.

    Args:
        max_instances (int): T_max, 1..32767: the largest are kept, the rest merged by class.
        max_overlap (int): Layers K, >= 1; above 1 only helps with masks from a COCO JSON.
        source (InstanceSource, optional): Format of instance files. A data set sets its own.

    Raises:
        DataError: If a setting is out of range or the instance map does not fit the label.
    """

    PROBLEM = 'instances'

    def __init__(
        self, max_instances: int = 64, max_overlap: int = 1, source: InstanceSource | None = None
    ) -> None:
        if not 1 <= max_instances <= 32767:
            raise DataError(f'max_instances must be 1..32767, got {max_instances}')
        if max_overlap < 1:
            raise DataError(f'max_overlap must be >= 1, got {max_overlap}')
        self.max_instances = max_instances
        self.max_overlap = max_overlap
        self.source = source

    def transform(self, results: dict) -> dict:
        """Add ``instances`` and ``instance_labels``."""
        # instances are made in the stored orientation
        turn = label_turn(results)
        layers, classes = self.source.make(
            turned(results['label'], turn, back=True),
            results['img_path'],
            results.get('coco', results.get('instance_path')),
            self.max_instances,
            self.max_overlap,
        )
        if turn != 1:
            layers = np.stack([turned(layer, turn) for layer in layers])
        results['instances'] = layers
        results['instance_labels'] = classes
        results['max_instances'] = self.max_instances
        return results


def label_turn(results: dict) -> int:
    """EXIF orientation to apply to a sample's label and instances."""
    return results.get('orientation', 1) if results.get('exif_orientation') == 'both' else 1
