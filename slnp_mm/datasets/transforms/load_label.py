"""Read the label map of a sample."""

from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..errors import DataError
from ..image_io import decode_ids, read_bytes


@TRANSFORMS.register_module()
class SLNPLoadLabel(BaseTransform):
    """Read ``label_path`` by the data set's ``LabelCodec``.

    Adds ``label`` (H, W), uint8, 0..C-1 and 255 = unlabelled.

    Raises:
        CorruptFileError: If the file cannot be decoded.
        DataError: If an id is out of range or the size is not the
            picture's.
    """

    def transform(self, results: dict) -> dict:
        """Add ``label``."""
        path = results['label_path']
        raw = decode_ids(read_bytes(path), path)
        shape = tuple(results.get('ori_shape', raw.shape[:2]))
        if raw.shape[:2] != shape:
            hint = '; does the JPEG carry an EXIF rotation?' if raw.shape[1::-1] == shape else ''
            raise DataError(
                f'label {path} is {raw.shape[1]}x{raw.shape[0]}, but image '
                f'{results["img_path"]} is {shape[1]}x{shape[0]} (width x '
                f'height); both must have one size{hint}'
            )
        results['label'] = results['label_codec'](raw, path)
        return results
