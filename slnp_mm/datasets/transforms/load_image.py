"""Read the picture of a sample."""

from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..image_io import decode_image, header_size, read_bytes, reduction
from .resize import as_sides


@TRANSFORMS.register_module()
class SLNPLoadImage(BaseTransform):
    """Read and decode ``img_path``.

    Adds ``img`` (H, W, 3), BGR, uint8, ``ori_shape`` (H, W) of the file
    and ``img_reduced``, by how much a JPEG was decoded smaller (1, 2, 4, 8).
    An EXIF rotation is not applied, as label files do not have one.

    A JPEG larger than needed is decoded at 1/2, 1/4 or 1/8 of its size, as
    long as both sides stay at least as large as ``SLNPResize`` will ask
    for; that transform must then follow before any crop.

    Args:
        decode_size (int | tuple[int] | str, optional): Least side, or
            height and width, to decode. 'auto' is the data set's
            ``image_size``; None always decodes in full. Defaults to 'auto'.

    Raises:
        CorruptFileError: If the file cannot be decoded.
    """

    def __init__(self, decode_size: int | tuple[int, int] | str | None = 'auto') -> None:
        self.decode_size = decode_size

    def transform(self, results: dict) -> dict:
        """Add ``img`` and ``ori_shape``."""
        path = results['img_path']
        data = read_bytes(path)
        size = header_size(data)
        reduce = 1
        wanted = self.decode_size
        if wanted == 'auto':
            wanted = results.get('image_size')
        if wanted is not None and size and data[:2] == b'\xff\xd8':
            reduce = reduction(size, as_sides(wanted))
        image = decode_image(data, path, reduce)
        results['img'] = image
        results['img_reduced'] = reduce
        results['ori_shape'] = image.shape[:2] if reduce == 1 else size
        results['img_shape'] = image.shape[:2]
        return results
