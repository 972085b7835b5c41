"""What docs/data.md says about one's own data, run as written at small sizes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import _cli as cli
import cv2
import mmengine
import numpy as np
import pytest
from mmengine.registry import DefaultScope

from slnp_mm.evaluation.report import load_report

# narrow networks, two iterations, in the words of a command line
SMALL = [
    'model.generator.global_generator.base_channels=8',
    'model.generator.global_generator.max_channels=8',
    'model.generator.global_generator.num_blocks=1',
    'model.generator.refiners.0.base_channels=8',
    'model.generator.refiners.0.attention_channels=8',
    'model.generator.refiners.0.num_blocks=1',
    'model.discriminator.base_channels=8',
    'model.discriminator.max_channels=8',
    'val_dataloader.num_workers=0',
    'test_dataloader.num_workers=0',
    'val_dataloader.dataset.image_size=64',
    'test_dataloader.dataset.image_size=64',
]
# num_workers=0 where the config keeps workers alive: open-mmlab/mmsegmentation issue 2514
TRAIN = ['train_dataloader.num_workers=0', 'train_dataloader.batch_size=2']
SHORT = [
    *TRAIN,
    'train_dataloader.dataset.image_size=64',
    'train_cfg.max_iters=2',
    'train_cfg.val_begin=1000',
    'default_hooks.logger.interval=1',
]
SCORER = [*TRAIN, 'val_dataloader.num_workers=0']
NARROW = """
model = dict(
    backbone=dict(stem_channels=8, base_channels=8),
    decode_head=dict(in_channels=32, channels=8, num_classes=3))
"""


def write_pairs(root, names, kinds=('{}.jpg', '{}.png')):
    """A picture of noise and a label map of three blocks for each name."""
    rng = np.random.default_rng(0)
    label = np.tile(np.repeat(np.array([0, 1, 2], np.uint8), [30, 36, 30]), (96, 1))
    for name in names:
        picture = rng.integers(0, 256, (96, 96, 3), np.uint8)
        for folder, kind, array in zip(('images', 'labels'), kinds, (picture, label)):
            path = root / folder / kind.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), array)


GAN = 'configs/slnp_mine.py'
JUDGE = 'configs/scorers/deeplabv3_mine.py'


def write_configs(folder, root):
    """Those of docs/data.md, all on one's own data."""
    shutil.copytree(root / 'configs', folder / 'configs')
    texts = re.findall(r'```python\n(.*?)```', (root / 'docs/data.md').read_text(), re.S)
    gan, prior, scorer, evaluator = texts[:4]
    (folder / GAN).write_text(gan + evaluator)
    (folder / 'configs/noise_prior_mine.py').write_text(prior)
    (folder / JUDGE).write_text(scorer + NARROW)


@pytest.fixture
def place(tmp_path, monkeypatch, repository, tiny):
    """A folder with the documented configs."""
    write_configs(tmp_path, tiny.ROOT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope='module')
def one_training(use, tiny, tmp_path_factory):
    """A generator of white noise in such a folder, trained for two iterations."""
    folder = tmp_path_factory.mktemp('mine')
    write_configs(folder, tiny.ROOT)
    write_pairs(folder / 'data/mine', ['train/0', 'train/1', 'more/2', 'val/0', 'val/1'])
    with pytest.MonkeyPatch.context() as patch, DefaultScope.overwrite_default_scope('mmagic'):
        patch.chdir(folder)
        assert use('train', GAN, '--cfg-options', *SHORT, *SMALL) == 0
    return folder


@pytest.fixture
def trained(one_training, tmp_path, monkeypatch, repository):
    """A copy of that folder."""
    shutil.copytree(one_training, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def draw(use):
    """Generate pictures of label maps, by default with what GAN's training has left."""

    def run(labels, out='made', config=GAN, options=SMALL):
        words = ['--labels', labels, '--out', out, '--device', 'cpu', '--cfg-options', *options]
        return use('generate', config, f'work_dirs/{Path(config).stem}', *words)

    return run


def pictures(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*.png'))


def test_the_documented_path_ends_in_scores(use, draw, place):
    """Scorer, prior, training, test, pictures and their score, with names that differ.

    mmsegmentation issue 1968: suffixes on both sides; MONAI issue 1854: one name in two subfolders.
    """
    kinds = ('{}_img.jpg', '{}_label.png')
    names = ['train/bonn/0', 'train/ulm/0', 'train/ulm/1', 'val/bonn/0', 'val/ulm/0']
    write_pairs(place / 'data/mine', names, kinds)
    ends = [
        f'{split}_dataloader.dataset.{side}_suffix={end}'
        for split in ('train', 'val', 'test')
        for side, end in (('img', '_img.jpg'), ('label', '_label.png'))
    ]
    words = ['--max-iters', 2, '--cfg-options', *SCORER, *ends]
    assert use('train_scorer', JUDGE, *words) == 0
    record = mmengine.load(place / 'work_dirs/deeplabv3_mine/scorer.json')
    splits = dict(train='labels/train', train_images=3, val='labels/val', val_images=2)
    assert record['data'] == dict(dataset='SLNPDataset', root='mine', **splits)
    assert record['iterations'] == 2 and record['input_size'] == [128, 128]

    words = ['--cfg-options', *SHORT, *ends, 'model.base_channels=8']
    assert use('train', 'configs/noise_prior_mine.py', *words) == 0
    shaped = ['model.noise=prior', 'model.prior_checkpoint=work_dirs/noise_prior_mine']
    options = [*SMALL, *ends, *shaped, 'model.noise_prior.base_channels=8']
    assert use('train', GAN, '--cfg-options', *SHORT, *options, 'train_cfg.val_begin=1') == 0
    report = load_report('work_dirs/slnp_mine/val_report.json')
    assert report['protocol']['split'] == 'labels/val'

    words = ['work_dirs/slnp_mine', '--out', 'scores.json', '--cfg-options', *options]
    assert use('test', GAN, *words) == 0
    scores = mmengine.load(place / 'scores.json')

    assert draw('data/mine/labels/val', options=options) == 0
    assert pictures(place / 'made') == ['bonn/0.png', 'ulm/0.png']
    words = ['--images', 'made', '--out', 'made/score.json', '--cfg-options', *options]
    assert use('score', GAN, *words) == 0
    scored = load_report('made/score.json')
    assert scored['protocol']['num_images'] == 2
    assert scored['figures']['real/PA'] == pytest.approx(scores['real/PA'])


def test_generate_leaves_its_label_maps_alone_and_needs_no_pictures(draw, trained, capsys):
    """CENet issue 17: the output folder is the input folder; SPADE issue 49 (images that the test
    never uses) and pull request 82 (one label map)."""
    labels = trained / 'data/mine/labels'
    before = {path: path.read_bytes() for path in labels.rglob('*.png')}
    for source, out in (
        ('labels/val', 'labels/val'),
        ('labels/val', 'labels/val/made'),
        ('labels/val/0.png', 'labels/val'),
        ('labels/va*/*', 'labels/val'),
        ('labels/val', 'images/val'),  # pictures of the set itself
    ):
        assert draw(labels.parent / source, labels.parent / out) == 1
        assert 'would overwrite or mix with the input' in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in labels.rglob('*.png')}
    assert not pictures(trained / 'data/mine/images')

    shutil.rmtree(trained / 'data/mine/images')
    assert draw('data/mine/labels/val/1.png', 'made here') == 0
    assert pictures(trained / 'made here') == ['1.png']


def test_resume_takes_a_checkpoint_and_goes_on(use, trained):
    """mmsegmentation issues 3634 and 3417 (--resume FILE), 3669 (ends at once), 127 (no
    checkpoint after resuming)."""
    options = ['--cfg-options', *SHORT, *SMALL]
    assert use('train', GAN, '--resume', *options) == 0
    said = ''.join(log.read_text() for log in (trained / 'work_dirs').rglob('*.log'))
    assert (
        'iter_2.pth is at iteration 2 of train_cfg.max_iters=2; raise max_iters to continue' in said
    )

    moved = (trained / 'work_dirs/slnp_mine/iter_2.pth').rename(trained / 'mine.pth')
    words = ['--work-dir', 'on', f'--resume={moved}', *options, 'train_cfg.max_iters=3']
    assert use('train', GAN, *words) == 0
    said = ''.join(log.read_text() for log in (trained / 'on').rglob('*.log'))
    assert 'Iter(train) [3/3]' in said and 'nothing is left' not in said
    assert [path.name for path in (trained / 'on').glob('*.pth')] == ['iter_3.pth']


def test_a_run_in_its_own_work_dir_keeps_the_config(use, trained):
    """mmengine issue 1060, mmsegmentation issue 2841: the kept config is written over."""
    kept = trained / 'work_dirs/slnp_mine/slnp_mine.py'
    before = kept.read_text()
    words = ['--work-dir', 'work_dirs/slnp_mine', '--cfg-options', 'randomness.seed=7']
    assert use('train', kept, *words) == 0
    assert kept.read_text() == before
    (again,) = [path for path in kept.parent.glob('*.py') if path != kept]
    assert 'seed=7' in again.read_text() and 'seed=7' not in before


JOINED = """
parts = [dict(mine), dict(mine, data_prefix=dict(img='images/more', label='labels/more'))]
for part in parts:
    part.update(image_size=64)
    part.pop('_delete_')
del part
joined = dict(_delete_=True, type='ConcatDataset', datasets=parts)
train_dataloader = dict(dataset=joined)
val_dataloader = dict(dataset=joined)
test_dataloader = val_dataloader
"""


UNSIZED = [word for word in (*SHORT, *SMALL) if 'image_size' not in word]


def test_joined_folders_train_test_and_generate(use, draw, trained, scorer, capsys):
    """mmsegmentation issue 3001, sahi issue 1092: ConcatDataset."""
    metric = dict(type='SLNPSegMetric', scorer=scorer(3))
    evaluator = f'val_evaluator = test_evaluator = dict(metrics=[{metric}])\n'
    joined = 'configs/joined.py'
    (trained / joined).write_text(f'{(trained / GAN).read_text()}{JOINED}{evaluator}')
    options = ['--cfg-options', *UNSIZED]
    assert use('train', joined, *options) == 0
    assert use('test', joined, 'work_dirs/joined', *options) == 0
    protocol = load_report('work_dirs/joined/test_report.json')['protocol']
    assert protocol['data'] == 'SLNPDataset' and protocol['num_images'] == 3
    assert protocol['split'] == 'labels/train + labels/more'

    labels, given = 'data/mine/labels/more', dict(config=joined, options=UNSIZED)
    assert draw(labels, **given) == 0 and pictures(trained / 'made') == ['2.png']
    assert draw(labels, 'data/mine/images/more', **given) == 1
    assert 'would overwrite or mix with' in capsys.readouterr().err
    assert use('score', joined, '--images', 'made', *options) == 1
    assert 'test_dataloader joins 2 data sets' in capsys.readouterr().err


def test_a_repeated_folder_trains_tests_generates_and_is_scored(use, draw, trained, scorer):
    """Two pictures, twice: each is scored once, by its index."""
    metric = dict(type='SLNPSegMetric', scorer=scorer(3))
    (trained / 'configs/repeated.py').write_text(
        "_base_ = 'slnp_mine.py'\n"
        "one = dict(type='SLNPDataset', data_root='data/mine', image_size=64, "
        'pipeline={{_base_.val_pipeline}}, metainfo={{_base_.test_dataloader.dataset.metainfo}}, '
        "data_prefix=dict(img='images/train', label='labels/train'))\n"
        "twice = dict(_delete_=True, type='RepeatDataset', times=2, dataset=one)\n"
        'train_dataloader = dict(dataset=twice)\n'
        'val_dataloader = test_dataloader = dict(dataset=twice)\n'
        f'val_evaluator = test_evaluator = dict(metrics=[{metric}])\n'
    )
    words = ['configs/repeated.py', '--cfg-options', *UNSIZED]
    assert use('train', *words) == 0
    assert use('test', words[0], 'work_dirs/repeated', *words[1:]) == 0
    count = len(list((trained / 'data/mine/images/train').iterdir()))
    protocol = load_report('work_dirs/repeated/test_report.json')['protocol']
    assert protocol['num_images'] == count and protocol['split'] == 'labels/train'

    assert draw('data/mine/labels/train', config=words[0], options=UNSIZED) == 0
    assert use('score', words[0], '--images', 'made', '--out', 'a.json', *words[1:]) == 0
    assert load_report('a.json')['protocol']['num_images'] == count


def test_batches_of_one_picture_and_sizes(use, trained, capsys):
    """mmsegmentation issue 272, stable-diffusion-webui issue 4094."""
    one = [*SHORT, *SMALL, 'train_dataloader.batch_size=1']
    assert use('train', GAN, '--work-dir', 'one', '--cfg-options', *one) == 0
    for size in (4, 16, 100):
        sized = [*one, f'train_dataloader.dataset.image_size={size}']
        capsys.readouterr()
        assert use('train', GAN, '--work-dir', 'sized', '--cfg-options', *sized) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith('error: Expected') and 'multiple' in said


def test_scorer_of_batches_of_one_has_a_sentence(use, place, capsys):
    """mmsegmentation issue 272: batch norm behind a pooling to one pixel."""
    write_pairs(place / 'data/mine', ['train/0', 'train/1', 'train/2', 'val/0'])
    words = ['train_scorer', JUDGE, '--max-iters', 2, '--cfg-options', *SCORER]
    assert use(*words, 'train_dataloader.batch_size=1') == 1
    assert 'a batch norm of this network needs 2 images or more' in capsys.readouterr().err
    words += ['train_dataloader.sampler.type=DefaultSampler']
    assert use(*words) == 1
    assert 'or set drop_last=True' in capsys.readouterr().err
    assert use(*words, 'train_dataloader.drop_last=True') == 0


@pytest.mark.slow
def test_two_processes_without_a_gpu_train_through_gloo(place):
    """mmdetection issues 10621 and 77: as torchrun starts them, with the config's backend nccl."""
    write_pairs(place / 'data/mine', ['train/0', 'train/1', 'train/2', 'train/3', 'val/0'])
    tool = cli.__file__.replace('_cli.py', 'train.py')
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command += [tool, GAN, '--launcher', 'pytorch', '--cfg-options', *SHORT, *SMALL]
    hidden = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, capture_output=True, text=True, env=hidden)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (place / 'work_dirs/slnp_mine/iter_2.pth').is_file()
