"""Show a label map as a picture, for models that take pictures."""

import numpy as np
from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..errors import DataError
from ..label_codec import UNLABELLED


@TRANSFORMS.register_module()
class SLNPLabelToImage(BaseTransform):
    """Add the label as a colour picture or as one-hot planes.

    So that mmagic's own image-to-image models (Pix2Pix, CycleGAN) can use
    our data sets: ``img_{label_domain}`` is made of the label and
    ``img_{image_domain}`` is the picture. mmagic calls the generated
    picture ``fake_{image_domain}`` and our scores read ``fake_img``.

    Args:
        mode (str): 'palette': (H, W, 3), BGR, uint8, black = unlabelled;
            'onehot': (H, W, C + 1), float32, 0 or 255 so that the model's
            preprocessor maps it to -1..1; last plane = unlabelled.
        label_domain (str): Defaults to 'mask'.
        image_domain (str): Defaults to 'img'.

    Raises:
        ValueError: If the mode is unknown.
        DataError: If the pipeline has no label yet.
    """

    def __init__(
        self,
        mode: str = 'palette',
        label_domain: str = 'mask',
        image_domain: str = 'img',
    ) -> None:
        if mode not in ('palette', 'onehot'):
            raise ValueError(f"mode must be 'palette' or 'onehot', got {mode!r}")
        self.mode = mode
        self.keys = (f'img_{label_domain}', f'img_{image_domain}')

    def transform(self, results: dict) -> dict:
        """Add the two pictures."""
        if 'label' not in results:
            raise DataError('SLNPLabelToImage needs SLNPLoadLabel before it')
        label = results['label']
        if self.mode == 'palette':
            table = np.zeros((256, 3), np.uint8)
            colours = np.asarray(results['palette'], np.uint8)[:, ::-1]
            table[: len(colours)] = colours
            picture = table[label]
        else:
            num = results['label_codec'].num_classes
            planes = np.where(label == UNLABELLED, num, label)
            picture = np.eye(num + 1, dtype=np.float32)[planes] * 255
        results[self.keys[0]] = picture
        results[self.keys[1]] = results['img']
        return results
