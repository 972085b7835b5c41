import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from _sheet import make_sheet, overlay
from mmagic.registry import HOOKS

from slnp_mm.datasets import DataError, check_dataset, quick_check


@pytest.fixture
def check(build):
    """Check such a data set."""
    return lambda root, workers=1, **kwargs: check_dataset(
        build(root, lazy_init=True, **kwargs), workers
    )


@pytest.fixture
def broken(folder_pair, files):
    """Each kind of problem, in its own sample."""
    stripes = files.blocks([0, 1, 2, 255]).astype(np.uint8)
    for i in range(3, 10):
        files.jpg(folder_pair / f'images/{i}.jpg', seed=i)
        files.png(folder_pair / f'labels/{i}.png', stripes)
    (folder_pair / 'images/3.jpg').unlink()
    (folder_pair / 'labels/4.png').unlink()
    path = folder_pair / 'images/5.jpg'
    path.write_bytes(path.read_bytes()[:300])
    files.png(folder_pair / 'labels/6.png', stripes[:, :30])
    files.png(folder_pair / 'labels/7.png', np.where(stripes == 2, 3, stripes))
    files.png(folder_pair / 'labels/8.png', np.zeros((24, 32, 3)))
    _, data = cv2.imencode('.jpg', stripes)
    (folder_pair / 'labels/9.png').write_bytes(data.tobytes())
    return folder_pair


def test_sound_set_has_no_problem_and_right_statistics(folder_pair, files, check):
    path = folder_pair / 'images/0.jpg'  # whose suffix lies
    path.write_bytes(cv2.imencode('.png', cv2.imread(str(path)))[1].tobytes())
    report = check(folder_pair)
    assert report.ok and report.num_checked == report.num_listed == 3
    assert report.unlabelled_share == 0.25
    assert report.pixels[:3].tolist() == [576] * 3  # 3 images, 8 of 32 columns
    assert report.images[:3].tolist() == [3] * 3
    assert report.instances == [3] * 3 and report.empty_classes == []
    assert 'no problem found' in report.to_text()
    for i in range(3):
        files.png(folder_pair / f'labels/{i}.png', np.zeros((24, 32), np.uint8))
    report = check(folder_pair)  # a class without pixels is no problem
    assert report.ok and report.empty_classes == ['b', 'c']


@pytest.mark.parametrize('workers', [1, 2])
def test_every_kind_of_problem_is_reported(broken, workers, check):
    report = check(broken, workers)
    assert {k: len(v) for k, v in report.problems.items()} == dict(
        pair=2, unreadable=1, size=1, ids=3
    )
    text = report.to_text()
    for words in (
        'images/4.jpg has no label',
        'labels/3.png has no image',
        'images/5.jpg',
        'is 30x24, but image',
        'label id 3 (192 pixels) is outside',
        'is reduce_zero_label unset',
        'is an RGB label',
        'labels/9.png is a JPEG',
        'result: 7 problems',
    ):
        assert words in text
    data = json.loads(json.dumps(report.to_dict()))
    assert data['ok'] is False and data['num_problems'] == 7
    assert data['classes'][1]['name'] == 'b'


@pytest.mark.parametrize(
    'settings, words',
    [
        (dict(data_root='/no'), 'data root /no not found'),
        (dict(label=dict(unlabeled_ids=(0,))), 'got unlabeled_ids'),
    ],
)
def test_missing_root_or_misspelt_setting_is_a_problem(folder_pair, settings, words, check):
    report = check(folder_pair, **settings)
    assert words in report.problems['folder'][0]
    assert '  Folder or setting: 1\n' in report.to_text()


def test_set_without_a_label_is_a_problem(folder_pair, check):
    report = check(folder_pair, label=dict(unlabelled_ids=(0, 1, 2, 255)))
    assert 'every pixel' in report.problems['empty'][0] and not report.ok
    assert '  Nothing labelled: 1\n' in report.to_text()
    assert report.to_text().endswith('result: 1 problem')


def test_images_at_the_instance_limit_are_counted(folder_pair, check, build):
    dataset = build(folder_pair, lazy_init=True)
    dataset.pipeline.transforms[2].max_instances = 3
    report = check_dataset(dataset, 1)
    assert 'limit max_instances=3: 3 images' in report.to_text()
    found = report.to_dict()['instances']
    assert (found['limit'], found['images_at_limit']) == (3, 3)
    assert check(folder_pair).to_dict()['instances']['images_at_limit'] == 0


def test_quick_check_passes_counts_and_raises(folder_pair, files, build):
    assert quick_check(build(folder_pair), num_samples=2) == 2
    files.png(folder_pair / 'labels/2.png', np.full((24, 32), 9, np.uint8))
    with pytest.raises(DataError, match=r'2\.png: label id 9'):
        quick_check(build(folder_pair))


def test_quick_check_lets_skip_corrupt_do_its_work(folder_pair, monkeypatch, build):
    lines = []
    monkeypatch.setattr('slnp_mm.datasets.check.print_log', lambda text, *_: lines.append(text))
    (folder_pair / 'images/1.jpg').write_bytes(b'x')
    assert quick_check(build(folder_pair, skip_corrupt=True)) == 3
    (line,) = lines
    assert 'skip_corrupt will replace a sample: cannot decode' in line
    assert 'images/1.jpg' in line


def _runner(dataset, lines):
    loader = SimpleNamespace(dataset=SimpleNamespace(dataset=dataset))
    return SimpleNamespace(
        train_loop=SimpleNamespace(dataloader=loader),
        val_loop=SimpleNamespace(dataloaders=[loader]),
        logger=SimpleNamespace(info=lines.append),
    )


def test_hook_checks_wrapped_sets_and_stops_the_run_on_a_problem(folder_pair, files, build):
    dataset, lines = build(folder_pair), []
    hook = HOOKS.build(dict(type='SLNPPreflightHook', num_samples=2))
    hook.before_train(_runner(dataset, lines))
    assert len(lines) == 2 and '2 of 3 samples' in lines[0]
    files.png(folder_pair / 'labels/0.png', np.full((24, 32), 9, np.uint8))
    with pytest.raises(DataError, match='label id 9'):
        hook.before_train(_runner(dataset, []))
    hook.before_train(_runner([1, 2], []))  # a set of another kind is left alone
    with pytest.raises(ValueError, match='>= 1, got 0'):
        HOOKS.build(dict(type='SLNPPreflightHook', num_samples=0))


def test_overlay_mixes_colors_and_leaves_unlabelled_pixels():
    image = np.full((1, 2, 3), 100, np.uint8)
    out = overlay(image, np.uint8([[0, 255]]), np.full((1, 1, 2), -1), [[200, 0, 0]], share=0.5)
    assert out.tolist() == [[[150, 50, 50], [100, 100, 100]]]


def test_sheet_stretches_no_picture(folder_pair, files, build):
    files.jpg(folder_pair / 'images/0.jpg', (32, 16))
    files.png(folder_pair / 'labels/0.png', np.zeros((32, 16), np.uint8))
    sheet = make_sheet(build(folder_pair))
    # three rows of 200 under a title of 25, three columns as wide as the widest image
    assert sheet.shape == (25 + 4 + 3 * 204, 4 + 3 * (267 + 4), 3)
    first = sheet[29:229, 4:271]
    assert (first[:, 100:] == 255).all() and (first[:, :100] < 255).any(2).mean() > 0.99


@pytest.fixture
def tool(use, tmp_path, tiny):
    """Run tools/check_dataset.py on a config text, or on a training set."""

    def run(text, *options):
        if not isinstance(text, str):
            text = f'train_dataloader = dict(dataset={tiny.set_config(text)!r})'
        (tmp_path / 'c.py').write_text(text)
        return use('check_dataset', tmp_path / 'c.py', '--workers', 1, *options)

    return run


def test_tool_ends_with_0_and_writes_json_and_sheet(folder_pair, tool, tmp_path, capsys, tiny):
    out, sheet = tmp_path / 'r.json', tmp_path / 's.png'
    text = f'train_dataloader = dict(dataset={tiny.set_config(folder_pair)!r})\n'
    text += 'val_dataloader = train_dataloader'
    assert tool(text, '--json', out, '--sheet', sheet) == 0
    assert list(json.loads(out.read_text())) == ['train']  # equal: once
    assert sheet.exists()
    assert '3/3' in capsys.readouterr().err  # the progress bar


def test_tool_ends_with_1_and_draws_what_is_sound_of_a_broken_set(broken, tool, tmp_path, capsys):
    assert tool(broken, '--sheet', tmp_path / 's.png') == 1
    assert 'result: 7 problems' in capsys.readouterr().out
    height = cv2.imread(str(tmp_path / 's.png')).shape[0]
    assert height == 25 + 4 + 3 * 204  # samples 0, 1 and 2


def test_tool_says_why_there_is_no_sheet(tool, folder_pair, tmp_path, capsys, tiny):
    for path in (folder_pair / 'labels').iterdir():
        path.write_bytes(b'x')
    assert tool(folder_pair, '--sheet', tmp_path / 's.png') == 1
    assert 'can be drawn' in capsys.readouterr().err and not (tmp_path / 's.png').exists()
    misspelt = tiny.set_config(folder_pair, label=dict(unlabeled_ids=(0,)))
    assert tool(f'val_dataloader = dict(dataset={misspelt!r})', '--sheet', tmp_path / 's.png') == 1
    assert 'no sheet: label=dict(...) takes' in capsys.readouterr().err


def test_tool_checks_the_sets_inside_wrappers(folder_pair, tool, capsys, tiny):
    one = tiny.set_config(folder_pair)
    other = dict(one, label=dict(unlabelled_ids=(2, 255)))
    text = (
        f'one, two = {one!r}, {other!r}\n'
        "both = dict(type='ConcatDataset', datasets=[one, two])\n"
        'train_dataloader = dict(dataset=both)\n'
        "val_dataloader = dict(dataset=dict(type='RepeatDataset', times=2, dataset=one))"
    )
    assert tool(text) == 0
    out = capsys.readouterr().out
    assert out.count('3 of 3 images') == 2  # the repeated one was seen
    assert 'train1: ' in out and 'train2: ' in out


def test_tool_names_what_it_cannot_check(tool, capsys, folder_pair, tmp_path):
    foreign = f"dict(type='BasicImageDataset', data_root={str(tmp_path)!r})"
    for text, options, words in (
        (f'train_dataloader = dict(dataset={foreign})', (), 'train_dataloader has BasicImage'),
        ('a = 1', (), 'has no dataset for train'),
        (folder_pair, ('--json', folder_pair / 'images/0.jpg/r.json'), 'choose another folder'),
        (folder_pair, ('--limit', 0), 'limit must be at least 1 sample, got 0'),
        (folder_pair, ('--split', 'train', 'val'), 'has no dataset for val'),
    ):
        assert tool(text, *options) == 1
        assert words in capsys.readouterr().err


def test_tool_says_when_a_loader_gives_no_batch(folder_pair, tool, capsys, tiny):
    """Three samples, four a batch, and the last, incomplete batch dropped."""
    text = (
        f'loader = dict(batch_size=4, drop_last=True, dataset={tiny.set_config(folder_pair)!r})\n'
    )
    assert tool(text + 'val_dataloader = loader') == 1
    out = capsys.readouterr().out
    assert 'val_dataloader gives no batch: 3 samples, batch_size=4, drop_last=True' in out
    assert 'no problem' not in out
    endless = text + "train_dataloader = dict(loader, sampler=dict(type='InfiniteSampler'))"
    assert tool(endless) == 0
    twice = "loader['dataset'] = dict(type='RepeatDataset', times=2, dataset=loader['dataset'])"
    assert tool(f'{text}{twice}\nval_dataloader = loader') == 0


def test_no_more_processes_than_the_job_has_cores(folder_pair, monkeypatch, build):
    """galilai-group/stable-pretraining issue 24: a scheduler gives some cores of the node."""
    monkeypatch.setattr('os.sched_getaffinity', lambda pid: {3})
    monkeypatch.setattr('multiprocessing.Pool', None)  # one core needs no other process
    assert check_dataset(build(folder_pair)).ok
