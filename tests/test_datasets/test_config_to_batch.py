"""Each set: true layout -> config -> loader -> batch of the contract."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

CONFIGS = 'configs/_base_/datasets'


def _loader(name, root, split='train', workers=0, **dataset):
    cfg = Config.fromfile(f'{CONFIGS}/{name}.py')[f'{split}_dataloader']
    cfg.dataset.update(data_root=str(root), image_size=32, **dataset)
    cfg.update(batch_size=2, num_workers=workers, persistent_workers=False)
    return Runner.build_dataloader(cfg, seed=0)


@pytest.fixture(autouse=True)
def _at_repository_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


@pytest.mark.parametrize(
    'name', ['coco_stuff', 'ade20k', 'cityscapes', 'camvid', 'nyuv2', 'toyscenes']
)
@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_config_gives_a_batch_of_the_contract(name, split, make_set):
    loader = _loader(name, make_set(name), split)
    batch = next(iter(loader))
    num = len(loader.dataset.metainfo['classes'])
    assert len(loader.dataset.metainfo['palette']) == num
    assert len(batch['data_samples']) == 2
    for i in range(2):
        img, label, inst, kinds = (
            batch['inputs'][k][i] for k in ('img', 'label', 'instances', 'instance_labels')
        )
        assert img.shape == (3, 32, 32) and img.dtype == torch.uint8
        assert label.shape == (1, 32, 32) and label.dtype == torch.uint8
        assert inst.shape == (1, 32, 32) and inst.dtype == torch.int16
        assert kinds.shape == (64,) and kinds.dtype == torch.int16
        assert ((label < num) | (label == 255)).all() and label.min() >= 0
        assert (inst[label != 255] >= 0).all()
        assert (kinds[inst[inst >= 0].long()] >= 0).all()
        area = torch.bincount(inst[inst >= 0].flatten())
        assert (area[:-1] >= area[1:]).all() and (area > 0).all()
        assert (kinds >= 0).sum() == len(area)


@pytest.mark.parametrize(
    'name, ids',
    [
        ('coco_stuff', [0, 2, 156, 255]),
        ('ade20k', [255, 0, 1, 149]),
        ('cityscapes', [0, 13, 255, 10]),
        ('camvid', [0, 3, 10, 255]),
        ('nyuv2', [0, 3, 39, 255]),
    ],
)
def test_label_ids_follow_the_set_rule(name, ids, make_set):
    dataset = _loader(name, make_set(name), 'val').dataset
    row = dataset[0]['inputs']['label'][0, 16]
    assert row[[4, 12, 20, 28]].tolist() == ids


@pytest.mark.parametrize(
    'name, classes',
    [
        ('coco_stuff', {0: 2, 2: 1, 156: 1}),  # two persons, a car, sky
        ('ade20k', {0: 1, 1: 1, 149: 1}),
        ('cityscapes', {0: 1, 13: 2, 10: 1}),  # two cars, road, sky
    ],
)
def test_instances_follow_the_set_rule(name, classes, make_set):
    dataset = _loader(name, make_set(name), 'val').dataset
    kinds = dataset[0]['inputs']['instance_labels']
    found, counts = np.unique(kinds[kinds >= 0], return_counts=True)
    assert dict(zip(found.tolist(), counts.tolist())) == classes


def test_coco_train_ids_are_171_classes(make_set):
    dataset = _loader('coco_stuff', make_set('coco_stuff'), 'val', train_ids=True).dataset
    names = dataset.metainfo['classes']
    assert len(names) == 171
    row = dataset[0]['inputs']['label'][0, 16]
    assert [names[i] for i in row[[4, 12, 20]]] == ['person', 'car', 'sky-other']


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


def test_workers_give_the_same_batch_as_one_process(make_set):
    root = make_set('camvid')
    one = _loader('camvid', root, 'val').dataset[1]['inputs']
    batch = next(iter(_loader('camvid', root, 'val', workers=2)))['inputs']
    for key, value in one.items():
        assert torch.equal(batch[key][1], value)
