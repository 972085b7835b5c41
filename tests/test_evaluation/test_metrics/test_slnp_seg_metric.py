"""SLNPSegMetric against mmseg's own evaluation and by hand."""

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from slnp_mm.evaluation import SLNPSegMetric
from slnp_mm.evaluation.functional.images import to_uint8
from slnp_mm.evaluation.metrics.slnp_seg_metric import named_class_map
from slnp_mm.evaluation.scorers import DeepLabV3Scorer

META = dict(classes=('a', 'b', 'c', 'd'))


class FixedScorer:
    """Stands in for the network: a pixel's blue value is its class."""

    num_classes = 4
    classes = None
    calls = 0

    def to(self, device):
        return self

    def predict(self, images, sizes):
        self.calls += len(images)
        return [torch.from_numpy(image[..., 0].astype(np.int64)) for image in images]

    def describe(self):
        return dict(config='fixed')


def make_metric(scorer=None, **kwargs):
    metric = SLNPSegMetric(scorer=dict(config='none'), **kwargs)
    metric._network = scorer or FixedScorer()
    metric.dataset_meta = META
    return metric


def painted(label):
    return label.float()[None].expand(3, -1, -1).clamp(max=3)


def sample(pred, label, index=0):
    return dict(
        fake_img=painted(pred),
        gt_img=painted(label),
        gt_sem_seg=label,
        sample_idx=index,
        img_path=str(index),
    )


def test_perfect_and_constant_predictions_have_their_hand_worked_scores():
    # four columns of classes 0..3, everything called 0:
    # PA = 4/16; IoU = (4/16, 0, 0, 0); Acc = (1, 0, 0, 0)
    label = torch.arange(4).repeat(4, 1)
    names = ('PA', 'mIoU', 'mAcc', 'share/PA', 'share/mIoU')
    for pred, scores in (
        (label, [100.0] * 5),
        (torch.zeros_like(label), [25.0, 6.25, 25.0, 25.0, 6.25]),
    ):
        metric = make_metric()
        metric.process(None, [sample(pred, label)])
        out = metric.evaluate(1)
        assert [out[name] for name in names] == scores and out['real/mIoU'] == 100.0


def test_ignored_pixels_do_not_count():
    label = torch.tensor([[0, 255], [1, 255]])
    pred = torch.tensor([[0, 3], [1, 3]])
    metric = make_metric()
    metric.process(None, [sample(pred, label)])
    assert metric.evaluate(1)['PA'] == 100.0
    assert metric.last_report['protocol']['ignored_pixels'] == 2
    rows = metric.last_report['per_class'].values()
    assert [row['IoU'] for row in rows] == [100.0, 100.0, None, None]


def test_class_map_translates_the_label_only():
    label = torch.tensor([[0, 1], [2, 2]])
    metric = make_metric(class_map=[3, 255, 1, 0])
    pred = torch.tensor([[3, 0], [1, 1]])
    metric.process(None, [sample(pred, label)])
    out = metric.evaluate(1)
    assert out['PA'] == 100.0
    assert metric.last_report['protocol']['ignored_pixels'] == 1


class Bicycles(FixedScorer):
    """171 classes; calls everything the class of 'bicycle', id 1."""

    num_classes = 171

    def predict(self, images, sizes):
        return [torch.ones(size, dtype=torch.int64) for size in sizes]


def test_coco_labels_are_scored_in_the_scorers_ids():
    """Raw ids 1 (bicycle), 181 (wood), 11 (no scorer id), 255."""
    table = named_class_map('coco')
    assert len(table) == 182 and sorted(set(table)) == [*range(171), 255]
    assert table[0] == 0 and table[11] == 255 and table[181] == 170
    label = torch.tensor([[1, 1], [181, 11], [255, 181]])
    item = dict(sample(label, label), fake_img=torch.zeros(3, 3, 2))
    metric = make_metric(Bicycles(), class_map='coco')
    metric.dataset_meta = dict(classes=[str(i) for i in range(182)])
    metric.process(None, [item])
    out = metric.evaluate(1)
    # 4 pixels count: 2 of class 1 right, 2 of class 170 called 1
    assert (out['PA'], out['mIoU'], out['mAcc']) == (50.0, 25.0, 50.0)
    assert metric.last_report['protocol']['ignored_pixels'] == 2
    assert label.tolist() == [[1, 1], [181, 11], [255, 181]]


def test_totals_equal_mmsegs_own_evaluation(tiny_scorer, samples):
    """Same images through mmseg's test_step and its IoUMetric."""
    from mmengine.structures import PixelData
    from mmseg.evaluation.metrics import IoUMetric
    from mmseg.structures import SegDataSample

    batch = samples(5)
    DefaultScope.get_instance('slnp_test_scope', scope_name='mmagic')
    metric = SLNPSegMetric(scorer=tiny_scorer)
    metric.dataset_meta = META
    for i in (0, 2, 4):
        metric.process(None, batch[i : i + 2])
    ours = metric.evaluate(5)
    assert DefaultScope.get_current_instance().scope_name == 'mmagic'  # as it was found
    rows = metric.last_report['per_class'].values()
    assert len({row['IoU'] for row in rows}) == 4, 'a trivial scorer'

    model = DeepLabV3Scorer(**tiny_scorer).net
    for key, prefix in (('fake_img', ''), ('gt_img', 'real/')):
        theirs = IoUMetric()
        theirs.dataset_meta = META
        for item in batch:
            image = torch.from_numpy(to_uint8(item[key])).permute(2, 0, 1)
            data = SegDataSample(
                gt_sem_seg=PixelData(data=item['gt_sem_seg'][None]),
                metainfo=dict(ori_shape=(32, 32), img_shape=(32, 32)),
            )
            with DefaultScope.overwrite_default_scope('mmseg'):
                out = model.test_step(dict(inputs=[image], data_samples=[data]))
            theirs.process(None, [o.to_dict() for o in out])
        want = theirs.evaluate(5)
        for name, other in (('PA', 'aAcc'), ('mIoU', 'mIoU'), ('mAcc', 'mAcc')):
            assert np.float32(ours[prefix + name]) == np.float32(want[other])


def test_padded_samples_count_once_and_a_wrong_count_is_an_error():
    label = torch.arange(4).repeat(4, 1)
    good, bad = sample(label, label, 0), sample(torch.zeros_like(label), label, 1)
    metric = make_metric()
    metric.process(None, [good, bad, bad])
    assert metric.evaluate(2)['PA'] == 62.5
    metric.process(None, [good])
    with pytest.raises(ValueError, match='expected 2 images, got 1 diff'):
        metric.evaluate(2)
    with pytest.raises(ValueError, match='got no image'):
        make_metric().evaluate()


def test_real_images_are_scored_once_per_content():
    label = torch.arange(4).repeat(4, 1)
    scorer = FixedScorer()
    metric = make_metric(scorer)
    for _ in range(2):
        metric.process(None, [sample(label, label)])
        metric.evaluate()
    assert scorer.calls == 3


@pytest.mark.parametrize('key', ['fake_img', 'gt_img', 'gt_sem_seg'])
def test_missing_or_diverged_field_is_named(key):
    label = torch.zeros(2, 2, dtype=torch.int64)
    item = sample(label, label)
    del item[key]
    with pytest.raises(ValueError, match=f'expected `{key}`'):
        make_metric().process(None, [item])
    if key == 'fake_img':
        item[key] = torch.full((3, 2, 2), float('nan'))
        with pytest.raises(ValueError, match='generator has diverged'):
            make_metric().process(None, [item])
