"""Convert samples for mmseg's transforms."""

from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


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
