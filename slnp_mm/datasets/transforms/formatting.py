"""Turn a sample into the tensors of the batch contract, or into what other models read."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmagic.registry import TRANSFORMS
from mmagic.structures import DataSample
from mmcv.transforms import BaseTransform

from ...errors import DataError, SLNPError
from ..instances import by_area

META_KEYS = ('img_path', 'label_path', 'sample_idx', 'ori_shape', 'img_shape', 'flip')


@TRANSFORMS.register_module()
class SLNPPackInputs(BaseTransform):
    """Pack ``img``, ``label``, ``instances`` and ``instance_labels``.

    Instances are renumbered by decreasing area after resizing and cropping; empty ones are dropped.

    Args:
        keys (Sequence[str]): Which of the four to pack. Defaults to all.

    Raises:
        SLNPError: If a key is none of the four.
        DataError: If the pipeline did not make a key.
    """

    KEYS = ('img', 'label', 'instances', 'instance_labels')

    def __init__(self, keys: Sequence[str] = KEYS) -> None:
        unknown = set(keys) - set(self.KEYS)
        if unknown:
            raise SLNPError(f'keys must be some of {self.KEYS}, got {sorted(unknown)}')
        self.keys = tuple(keys)

    def transform(self, results: dict) -> dict:
        """Pack one sample.

        Returns:
            dict: ``inputs`` with ``img`` (3, H, W), uint8, BGR; ``label`` (1, H, W), uint8;
            ``instances`` (K, H, W), int16, -1 = none; ``instance_labels`` (T_max, ), int16, -1 =
            empty slot; and ``data_samples``, a DataSample with metainfo only.
        """
        for key in self.keys:
            if key not in results:
                raise DataError(
                    f'the pipeline made no {key!r}; add its '
                    'SLNPLoad... transform before SLNPPackInputs'
                )
        inputs = {}
        if 'img' in self.keys:
            planes = cv2.split(np.ascontiguousarray(results['img']))
            inputs['img'] = torch.from_numpy(np.stack(planes))
        if 'label' in self.keys:
            inputs['label'] = torch.from_numpy(results['label'][None].copy())
        if 'instances' in self.keys or 'instance_labels' in self.keys:
            found = by_area(results['instances'], results['instance_labels'])
            slots = np.full(results['max_instances'], -1, np.int16)
            slots[: len(found.classes)] = found.classes
            both = dict(instances=found.layers.astype(np.int16), instance_labels=slots)
            inputs.update({key: torch.from_numpy(both[key]) for key in both if key in self.keys})
        metainfo = {key: results[key] for key in META_KEYS if key in results}
        return dict(inputs=inputs, data_samples=DataSample(metainfo=metainfo))


@TRANSFORMS.register_module()
class SLNPLabelToImage(BaseTransform):
    """Add the label as a color image, (H, W, 3), BGR, uint8, black = unlabelled.

    This lets mmagic's own image-to-image models (Pix2Pix, CycleGAN) use these data sets:
    ``img_{label_domain}`` is made from the label, ``img_{image_domain}`` is the image. mmagic names
    the generated image ``fake_{image_domain}``; the scores here read ``fake_img``.

    Args:
        label_domain (str): Domain of the image made from the label.
        image_domain (str): Domain of the image.

    Raises:
        DataError: If the pipeline has no label yet.
    """

    def __init__(self, label_domain: str = 'mask', image_domain: str = 'img') -> None:
        self.keys = (f'img_{label_domain}', f'img_{image_domain}')

    def transform(self, results: dict) -> dict:
        """Add the two images."""
        if 'label' not in results:
            raise DataError('SLNPLabelToImage needs SLNPLoadLabel before it')
        table = np.zeros((256, 3), np.uint8)
        table[: len(results['palette'])] = np.asarray(results['palette'])[:, ::-1]
        results[self.keys[0]] = table[results['label']]
        results[self.keys[1]] = results['img']
        return results


@TRANSFORMS.register_module()
class SLNPToSeg(BaseTransform):
    """Rename a sample's fields to mmseg's, after ``SLNPResize``.

    The scorer then trains and scores on exactly the pixels and labels of the generator's pipeline.
    ``ori_shape`` is that of the label: prediction and label are compared at that size, as in
    ``SLNPSegMetric``, even if the image was upsampled in between.
    """

    def transform(self, results: dict) -> dict:
        """Rename the fields."""
        label = results.pop('label')
        results['gt_seg_map'] = label
        results['seg_fields'] = ['gt_seg_map']
        results['seg_map_path'] = results.get('label_path', '')
        results['img_shape'] = results['img'].shape[:2]
        results['ori_shape'] = label.shape[:2]
        return results
