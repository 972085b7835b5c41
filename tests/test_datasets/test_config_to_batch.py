"""Each set: true layout -> config -> loader -> batch of the contract."""

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

pytestmark = pytest.mark.usefixtures('repository')
CONFIGS = 'configs/_base_/datasets'


def _loader(name, root, split='train', **dataset):
    cfg = Config.fromfile(f'{CONFIGS}/{name}.py')[f'{split}_dataloader']
    cfg.dataset.update(data_root=str(root), image_size=32, **dataset)
    cfg.update(batch_size=2, num_workers=0, persistent_workers=False)
    return Runner.build_dataloader(cfg, seed=0)


@pytest.mark.parametrize(
    'name', ['coco_stuff', 'ade20k', 'cityscapes', 'camvid', 'nyuv2', 'nuclei', 'toyscenes']
)
@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_config_gives_a_batch_of_the_contract(name, split, make_set, assert_contract):
    loader = _loader(name, make_set(name), split)
    batch = next(iter(loader))
    num = len(loader.dataset.metainfo['classes'])
    assert len(loader.dataset.metainfo['palette']) == num
    assert len(batch['data_samples']) == 2
    slots = 256 if name == 'nuclei' else 64
    for i in range(2):
        inputs = {key: many[i] for key, many in batch['inputs'].items()}
        assert_contract(inputs, num, (32, 32), slots)


@pytest.mark.parametrize(
    'name, ids, classes',
    [
        ('coco_stuff', [0, 2, 156, 255], [0, 0, 2, 156]),  # two persons, a car, sky
        ('ade20k', [255, 0, 1, 149], [0, 1, 149]),
        ('cityscapes', [0, 13, 255, 10], [0, 10, 13, 13]),  # road, sky, two cars
        ('camvid', [0, 3, 10, 255], [0, 3, 10]),
        ('nyuv2', [0, 3, 39, 255], [0, 3, 39]),
        ('nuclei', [0, 1, 1, 0], [0, 1, 1]),  # two nuclei that touch, one background
    ],
)
def test_labels_and_instances_follow_the_set_rule(name, ids, classes, make_set):
    inputs = _loader(name, make_set(name), 'val').dataset[0]['inputs']
    assert inputs['label'][0, 16, [4, 12, 20, 28]].tolist() == ids
    kinds = inputs['instance_labels']
    assert sorted(kinds[kinds >= 0].tolist()) == classes


@pytest.mark.parametrize('source, overlap', [('json', 2), ('components', 1)])
def test_coco_instances_from_other_sources(source, overlap, make_set):
    pipeline = Config.fromfile(f'{CONFIGS}/coco_stuff.py').val_pipeline
    pipeline[2].max_overlap = overlap
    settings = dict(instances=source, pipeline=pipeline)
    dataset = _loader('coco_stuff', make_set('coco_stuff'), 'val', **settings).dataset
    inputs = dataset[0]['inputs']
    masks = [(inputs['instances'] == i).any(0) for i in range(4)]
    kinds = inputs['instance_labels'].tolist()
    if source == 'components':
        assert kinds[:4].count(-1) == 1
        return
    person, car = masks[kinds.index(0)], masks[kinds.index(2)]
    assert (person & car).sum() > 0  # the boxes overlap by two columns
    assert person[:, :8].all() and not person[:, 9:].any()
