"""Hand our samples over to mmseg's transforms."""

from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
class SLNPToSeg(BaseTransform):
    """Rename a sample's fields to mmseg's, after ``SLNPResize``.

    So a scorer is trained on, and judged by, exactly the pixels and labels that the generator's
    pipeline makes. The label's shape is declared the original one: prediction and label meet at
    that size, as in ``SLNPSegMetric``, also where the picture was enlarged in between.
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
