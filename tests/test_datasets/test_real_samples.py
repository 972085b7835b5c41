"""The 13 COCO-Stuff, the CamVid and the NYUv2 pictures, where they are present."""

import os
from pathlib import Path

import cv2
import pytest
from mmagic.registry import DATASETS
from mmengine.config import Config

from slnp_mm.zoo import FOLDER

DATA = Path(os.environ.get('SLNP_TEST_DATA', Path(__file__).parents[3] / 'shared/data'))
COCO, CAMVID, NYUV2 = DATA / 'coco_stuff_sample', DATA / 'camvid', DATA / 'nyuv2'
needs_coco = pytest.mark.skipif(not COCO.is_dir(), reason=f'no real COCO-Stuff pictures in {COCO}')
needs_camvid = pytest.mark.skipif(
    not CAMVID.is_dir(), reason=f'no real CamVid pictures in {CAMVID}'
)


@pytest.fixture
def build(request):
    def make(name, root, **kwargs):
        path = request.config.rootpath / f'configs/_base_/datasets/{name}.py'
        cfg = Config.fromfile(path).train_dataloader.dataset
        cfg.update(data_root=str(root), **kwargs)
        return DATASETS.build(cfg)

    return make


@pytest.mark.parametrize(
    'name, root, size, settings, count',
    [
        pytest.param('coco_stuff', COCO, size, dict(instances=kind), 13, marks=needs_coco)
        for kind in ('png', 'components')
        for size in (128, 256)
    ]
    + [pytest.param('camvid', CAMVID, 128, dict(indices=20), 20, marks=needs_camvid)],
)
def test_pictures_keep_the_contract(build, assert_contract, name, root, size, settings, count):
    dataset = build(name, root, image_size=size, **settings)
    assert len(dataset) == count
    num = len(dataset.metainfo['classes'])
    for sample in dataset:
        inputs = sample['inputs']
        assert_contract(inputs, num, (size, size))
        label, ids = inputs['label'][0], inputs['instances'][0]
        covered = label != 255
        kinds = inputs['instance_labels'][ids.clamp(min=0).long()]
        right = (kinds == label)[covered].float().mean()
        assert right > 0.98  # slivers of other classes stay with objects


def test_nuclei_that_touch_are_told_apart(build, assert_contract):
    """The four that are shipped: nuclei, and the connected regions that they make."""
    dataset = build('nuclei', FOLDER / 'nuclei_sample', split='val')
    counts = []
    for sample in dataset:
        assert_contract(sample['inputs'], 2, (256, 256), 256)
        kinds = sample['inputs']['instance_labels'].tolist()
        assert kinds.count(0) == 1  # one background
        label = sample['inputs']['label'][0].numpy()
        counts.append((kinds.count(1), cv2.connectedComponents(label)[0] - 1))
    assert counts == [(52, 42), (122, 105), (18, 17), (11, 11)]


@pytest.mark.skipif(not NYUV2.is_dir(), reason=f'no real NYUv2 pictures in {NYUV2}')
def test_nyuv2_names_and_pictures_are_those_of_the_files(build, assert_contract):
    train, val = (build('nyuv2', NYUV2, image_size=128, split=s) for s in ('train', 'val'))
    assert (len(train), len(val)) == (795, 327)
    assert list(train.metainfo['classes']) == (NYUV2 / 'classes.txt').read_text().splitlines()
    assert_contract(val[0]['inputs'], 40, (128, 128))
