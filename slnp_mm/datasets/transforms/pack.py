"""Turn a sample into the tensors of the batch contract."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmagic.registry import TRANSFORMS
from mmagic.structures import DataSample
from mmcv.transforms import BaseTransform

from ..errors import DataError
from ..instance_maps import by_area

META_KEYS = (
    'img_path',
    'label_path',
    'sample_idx',
    'ori_shape',
    'img_shape',
    'flip',
)


@TRANSFORMS.register_module()
class SLNPPackInputs(BaseTransform):
    """Pack ``img``, ``label``, ``instances`` and ``instance_labels``.

    Instances are renumbered by decreasing area of what resizing and
    cropping left of them; those that vanished free their slot.

    Args:
        keys (Sequence[str]): What to pack; any of the four. Defaults to all.
        meta_keys (Sequence[str]): What the data sample keeps, if present.

    Raises:
        ValueError: If a key is none of the four.
        DataError: If the pipeline did not make a key.
    """

    KEYS = ('img', 'label', 'instances', 'instance_labels')

    def __init__(self, keys: Sequence[str] = KEYS, meta_keys: Sequence[str] = META_KEYS) -> None:
        unknown = set(keys) - set(self.KEYS)
        if unknown:
            raise ValueError(f'keys must be some of {self.KEYS}, got {sorted(unknown)}')
        self.keys, self.meta_keys = tuple(keys), tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack one sample.

        Returns:
            dict: ``inputs`` with ``img`` (3, H, W), uint8, BGR; ``label``
            (1, H, W), int64; ``instances`` (K, H, W), int64, -1 = none;
            ``instance_labels`` (T_max, ), int64, -1 = empty slot; and
            ``data_samples``, a DataSample with metainfo only.
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
            inputs['label'] = torch.from_numpy(results['label'][None].astype(np.int64))
        if 'instances' in self.keys or 'instance_labels' in self.keys:
            found = by_area(results['instances'], results['instance_labels'])
            slots = np.full(results['max_instances'], -1, np.int64)
            slots[: len(found.classes)] = found.classes
            both = dict(instances=found.layers.astype(np.int64), instance_labels=slots)
            inputs.update({key: torch.from_numpy(both[key]) for key in both if key in self.keys})
        sample = DataSample(
            metainfo={key: results[key] for key in self.meta_keys if key in results}
        )
        return dict(inputs=inputs, data_samples=sample)
