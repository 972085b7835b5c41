"""Visualisation and report hooks inside a real runner."""

import glob
import hashlib
import json
import os

import cv2
import numpy as np
import pytest
import torch
from mmagic.structures import DataSample
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import Dataset

from slnp_mm.engine.hooks import SLNPVisualizationHook, sample_row
from slnp_mm.engine.hooks.slnp_report_hook import describe_run

PALETTE = [[250, 0, 0], [0, 250, 0]]


class Pictures(Dataset):
    """Six samples: a label and an image of its color."""

    metainfo = dict(classes=('a', 'b'), palette=PALETTE)
    data_prefix = dict(img='images', label='labels')
    data_root = ''

    def __len__(self):
        return 6

    def __getitem__(self, i):
        label = torch.zeros(1, 16, 16, dtype=torch.int64)
        label[:, 8:] = i % 2
        return dict(
            inputs=dict(
                img=torch.full((3, 16, 16), 10 * i, dtype=torch.uint8),
                label=label,
                instance_labels=torch.tensor([1, -1]),
            ),
            data_samples=DataSample(metainfo=dict(sample_idx=i, img_path=f'{i}.png')),
        )


class Model(BaseModel):
    """Returns noise, the real image and attention."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if mode == 'loss':
            return dict(loss=self.weight.sum() + torch.rand(1).sum())
        for i, sample in enumerate(data_samples):
            fake = torch.rand(3, 16, 16) * 255
            attention = torch.zeros(2, 2, 2)
            attention[..., 0] = 1
            sample.set_data(
                dict(
                    fake_img=fake,
                    stage_imgs=[fake[:, ::2, ::2], fake],
                    gt_img=inputs['img'][i].float(),
                    gt_sem_seg=inputs['label'][i][0],
                    attention=[attention],
                )
            )
        return data_samples


@pytest.fixture
def scope():
    with DefaultScope.overwrite_default_scope('mmagic'):
        yield


def make_runner(tmp_path, hooks, loop='ValLoop', evaluator=None, name='r'):
    sampler = dict(type='DefaultSampler', shuffle=False)
    loader = dict(dataset=Pictures(), batch_size=2, num_workers=0, sampler=sampler)
    return Runner(
        model=Model(),
        work_dir=str(tmp_path / name),
        default_scope='mmagic',
        experiment_name=f'{tmp_path.name}_{name}',
        train_dataloader=loader,
        val_dataloader=loader,
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=4, val_interval=4),
        val_cfg=dict(type=loop),
        val_evaluator=evaluator or dict(type='mmengine.Evaluator', metrics=[Dummy()]),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=hooks,
        randomness=dict(seed=0),
        log_level='ERROR',
        default_hooks=dict(checkpoint=None),
        visualizer=dict(
            type='mmengine.Visualizer',
            name=str(tmp_path) + name,
            vis_backends=[dict(type='mmengine.LocalVisBackend')],
        ),
    )


class Dummy(BaseMetric):
    """Counts samples."""

    default_prefix = 'n'

    def process(self, data_batch, data_samples):
        self.results += list(data_samples)

    def compute_metrics(self, results):
        return dict(count=len(results))


def test_validation_writes_label_stages_attention_real(tmp_path, scope):
    runner = make_runner(tmp_path, [SLNPVisualizationHook(num_images=3)])
    runner.val()
    (path,) = glob.glob(f'{runner.work_dir}/**/val_samples*.png', recursive=True)
    grid = cv2.imread(path)[..., ::-1]
    # 3 rows, 5 columns of 128 px, gaps of 4 px, a title line of 20
    assert grid.shape == (20 + 4 + 3 * 132, 4 + 5 * 132, 3)
    assert grid[60, 60].tolist() == PALETTE[0]
    assert grid[24 + 132 + 100, 60].tolist() == PALETTE[1]
    assert (grid[24 + 132 + 10, 4 + 4 * 132 + 10] == 10).all()
    assert grid[60, 4 + 3 * 132 + 10].tolist() == PALETTE[1]


def test_train_interval_leaves_random_numbers_alone(tmp_path, scope):
    finals = []
    for name, hook in (('a', []), ('b', [SLNPVisualizationHook(num_images=2, train_interval=2)])):
        runner = make_runner(tmp_path, hook, name=name)
        runner.train()
        finals.append(torch.rand(1).item())
    assert finals[0] == finals[1]
    names = glob.glob(f'{tmp_path}/b/**/train_samples*.png', recursive=True)
    assert len(names) == 2


def test_row_without_stages_or_real_image():
    sample = DataSample()
    sample.fake_img = torch.full((3, 4, 4), 300.0)
    row, titles = sample_row(sample, PALETTE)
    assert titles == ['generated'] and (row[0] == 255).all()


def test_row_turns_bgr_into_rgb():
    sample = DataSample()
    sample.fake_img = torch.tensor([9.0, 0.0, 0.0])[:, None, None].expand(3, 2, 2)
    assert sample_row(sample, PALETTE)[0][0][0, 0].tolist() == [0, 0, 9]


@pytest.mark.parametrize('kwargs', [dict(num_images=0), dict(train_interval=0)])
def test_bad_settings_are_refused(kwargs):
    with pytest.raises(ValueError, match='>= 1'):
        SLNPVisualizationHook(**kwargs)


def test_run_is_described_by_what_was_scored(tmp_path, scope):
    """Tested weights by their hash, trained ones by the iteration."""
    weights = tmp_path / 'start.pth'
    torch.save(dict(state_dict=Model().state_dict()), weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    file = dict(file='start.pth', sha256=digest)

    runner = make_runner(tmp_path, [], name='tested')
    runner._load_from = str(weights)
    runner.val()
    assert describe_run(runner) == dict(
        config='', checkpoint=file, started_from=None, iteration=None, seed=0
    )
    runner = make_runner(tmp_path, [], name='trained')
    runner._load_from = str(weights)
    runner.train()
    assert describe_run(runner) == dict(
        config='', checkpoint=None, started_from=file, iteration=4, seed=0
    )


@pytest.mark.parametrize('loop', ['MultiValLoop', 'ValLoop'])
def test_report_is_written_after_validation(tmp_path, scope, loop, monkeypatch):
    from slnp_mm.engine.hooks import SLNPReportHook
    from slnp_mm.evaluation import SLNPSegMetric

    class Fixed:
        num_classes, classes = 2, None

        def to(self, device):
            return self

        def predict(self, images, sizes):
            return [torch.zeros(size, dtype=torch.int64) for size in sizes]

        def describe(self):
            return dict(sha256='0')

    metric = SLNPSegMetric(scorer=dict(config='none'))
    metric._network = Fixed()
    kind = 'mmagic.Evaluator' if loop == 'MultiValLoop' else 'mmengine.Evaluator'
    runner = make_runner(tmp_path, [SLNPReportHook()], loop, dict(type=kind, metrics=[metric]))
    runner.val()
    with open(os.path.join(runner.work_dir, 'val_report.json')) as file:
        saved = json.load(file)
    # labels 1 in half of every second image: 1/4 of all pixels
    assert saved['figures']['PA'] == 75.0
    assert saved['figures']['mIoU'] == np.round(75.0 / 2, 2)
    assert saved['protocol']['num_images'] == 6
    assert saved['run']['seed'] == 0
    assert os.path.isfile(os.path.join(runner.work_dir, 'val_report.md'))
