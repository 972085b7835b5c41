"""tools/fit.py: folders of annotation programs, wrong folders, a run that stops and goes on."""

import json
import shutil
import time
from pathlib import Path

import _cli as cli
import _layouts as layouts
import fit
import numpy as np
import painter
import pytest
from mmagic.registry import DATASETS
from PIL import Image
from starlette.testclient import TestClient

from slnp_mm.errors import DataError, SLNPError
from slnp_mm.inferencer import SLNPInferencer

VOC = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]  # colors of ids 0..3
CLASSES = ('background', 'road', 'sky')


def truth(number):
    """Ids 0..2 of sample ``number``, (64, 96), uint8; every one has another border."""
    label = np.zeros((64, 96), np.uint8)
    label[:20] = 2
    label[40 + number :] = 1
    return label


def save(path, array, mode=None, palette=None):
    """Write an image or a label map."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array, mode)
    if palette:
        image.putpalette(np.resize(palette, (256, 3)).ravel().tolist())
    image.save(path)


def photo(path, seed=0):
    save(path, np.random.default_rng(seed).integers(0, 256, (64, 96, 3), np.uint8))


def cvat(root, count):
    """Segmentation mask 1.1: painted masks, objects, a list and labelmap.txt."""
    names = [f'frame_{i:06}' for i in range(count)]
    for i, name in enumerate(names):
        photo(root / f'JPEGImages/{name}.jpg', i)
        colors = np.array([[0, 0, 0], [128, 64, 0], [12, 34, 200]], np.uint8)
        save(root / f'SegmentationClass/{name}.png', colors[truth(i)])
        save(root / f'SegmentationObject/{name}.png', np.array(VOC, np.uint8)[truth(i)])
    (root / 'ImageSets/Segmentation').mkdir(parents=True)
    (root / 'ImageSets/Segmentation/default.txt').write_text('\n'.join(names) + '\n')
    (root / 'labelmap.txt').write_text(
        '# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,0::\nsky:12,34,200::\n'
    )


def labelme(root, count):
    """labelme2voc.py: palette PNGs, with arrays and overlays that are none of the data."""
    for i in range(count):
        photo(root / f'JPEGImages/{i}.jpg', i)
        label = truth(i)
        label[0] = 255  # __ignore__
        save(root / f'SegmentationClassPNG/{i}.png', label, 'P', VOC)
        photo(root / f'SegmentationClassVisualization/{i}.jpg', i)
        (root / 'SegmentationClass').mkdir(exist_ok=True)
        np.save(root / f'SegmentationClass/{i}.npy', label.astype(np.int32) - 256 * (label == 255))
    (root / 'class_names.txt').write_text('_background_\nroad\nsky')


def label_studio(root, count):
    """Brush export: a mask of 0 and 255 for each region, and the JSON that names the images."""
    tasks = []
    for i in range(count):
        photo(root / f'images/{i}.jpg', i)
        for name, index in (('road', 1), ('sky', 2)):
            mask = np.where(truth(i) == index, 255, 0).astype(np.uint8)
            stem = f'task-{70 + i}-annotation-{200 + i}-by-1-tag-{name}-0'
            save(root / f'masks/{stem}.png', mask)
        image = f'/data/upload/3/{i:08x}-{i}.jpg'
        tasks.append(dict(id=70 + i, data=dict(image=image), annotations=[]))
    (root / 'export.json').write_text(json.dumps(tasks))


def supervisely(root, count):
    """Export as masks: meta.json, one grey mask an image, overlays beside them."""
    for i in range(count):
        photo(root / f'ds0/img/{i}.jpg', i)
        save(root / f'ds0/masks_machine/{i}.png', truth(i))
        photo(root / f'ds0/masks_human/{i}.png', i)
        (root / 'ds0/ann').mkdir(exist_ok=True)
        (root / f'ds0/ann/{i}.jpg.json').write_text('{}')
    (root / 'obj_class_to_machine_color.json').write_text('{"road": [1, 1, 1], "sky": [2, 2, 2]}')
    (root / 'meta.json').write_text('{"classes": []}')


def roboflow(root, count):
    """Semantic segmentation masks: pairs side by side in train and valid."""
    for split, start in (('train', 0), ('valid', 2)):
        for i in range(start, count, 4):
            photo(root / f'{split}/{i}_jpg.rf.0abc.jpg', i)
            save(root / f'{split}/{i}_jpg.rf.0abc_mask.png', truth(i))
        (root / split / '_classes.csv').write_text(
            'Pixel Value, Class\n0, background\n1, road\n2, sky\n'
        )


PROGRAMS = {
    'CVAT': cvat,
    'labelme': labelme,
    'Label Studio': label_studio,
    'Supervisely': supervisely,
    'Roboflow': roboflow,
}


def options(root, out, *words):
    """What the command line gives."""
    args = fit.parse_args([str(root), '--work-dir', str(out), *map(str, words)])
    return args


def found(root, *words):
    return layouts.find_layout(
        root, options(root, root.parent / 'out', *words), root.parent / 'out'
    )


def read(found, out, split='train'):
    """The data set of a split, as the configs build it."""
    if found['lists']:
        place = out / f'{split}.txt'
        place.parent.mkdir(exist_ok=True)
        place.write_text('\n'.join(found['lists'][split]))
        found[split] = dict(found[split], ann_file=str(place))
    return DATASETS.build(dict(found['data'], **found[split]))


@pytest.mark.parametrize('program', PROGRAMS)
def test_export_is_read_as_it_comes(tmp_path, program):
    root, out = tmp_path / 'data', tmp_path / 'out'
    PROGRAMS[program](root, 12)
    taken = found(root)
    assert taken['told']['program'] == program
    names = [name.strip('_') for name in taken['data']['metainfo']['classes']]
    assert tuple(names) == CLASSES
    count = 0
    for split in ('train', 'val'):
        dataset = read(taken, out, split)
        for info in (dataset.get_data_info(i) for i in range(len(dataset))):
            sample = dataset.load_files(info)
            number = int(Path(info['name']).name.split('_jpg')[0].removeprefix('frame_'))
            expected = truth(number)
            if program == 'labelme':
                expected[0] = 255
            assert (sample['label'] == expected).all()
            count += 1
    assert count == (6 if program == 'Roboflow' else 12)


def pairs(root, count=4, labels='labels/{}.png', images='images/{}.jpg', **changed):
    """Plain pairs; ``changed`` is the label map of a sample by its number, ``_0=...``."""
    for i in range(count):
        photo(root / images.format(i), i)
        save(root / labels.format(i), changed.get(f'_{i}', truth(i)))
    return root


def colored(label):
    return np.array([[0, 0, 0], [128, 64, 0], [12, 34, 200]], np.uint8)[label]


def no_images(root):
    pairs(root)
    for path in (root / 'images').iterdir():
        path.unlink()


def xml_labels(root):
    pairs(root, labels='annotations/{}.png')
    for path in (root / 'annotations').iterdir():
        path.rename(path.with_suffix('.xml'))


def jpeg_labels(root):
    pairs(root, labels='labels/{}.jpg')


def two_label_folders(root):
    pairs(root)
    pairs(root, labels='masks/{}.png')


def two_suffixes(root):
    pairs(root, labels='labels/{}_a.png')
    pairs(root, labels='labels/{}_b.png')


def unnamed_id(root):
    pairs(root, _1=truth(1) + 1)
    (root / 'classes.txt').write_text('ground\nroad\nsky\n')


def names_without_colors(root):
    pairs(root, **{f'_{i}': colored(truth(i)) for i in range(4)})
    (root / 'classes.txt').write_text('ground\nroad\nsky\n')


def photos_as_labels(root):
    for i in range(4):
        photo(root / f'images/{i}.jpg', i)
        photo(root / f'labels/{i}.png', i)


def one_class(root):
    pairs(root, **{f'_{i}': np.zeros((64, 96), np.uint8) for i in range(4)})


def tasks_without_json(root):
    label_studio(root, 2)
    (root / 'export.json').unlink()


def few(root):
    pairs(root, 1)


WRONG = [
    (no_images, [], r'no images in .*: expected files such as 0001\.jpg .* --images'),
    (xml_labels, [], r"no label maps in .*'\.xml': 4.*: export the masks as images, .* --labels"),
    (jpeg_labels, [], r"no label maps in .*: expected PNG, TIFF or BMP .*\{'\.jpg': 8\}"),
    (two_label_folders, [], r'^labels and masks can each be the labels: say which with --labels$'),
    (two_suffixes, [], r'^label maps can be _a\.png or _b\.png: say which with --label-suffix$'),
    (unnamed_id, [], r'labels/1\.png holds 3, which .*classes\.txt does not name: add it there'),
    (names_without_colors, [], r'classes\.txt gives ground no color, but the label maps hold'),
    (photos_as_labels, [], r'the label maps hold more than 256 colors .*labels/0\.png'),
    (one_class, [], r'the label maps hold 1 class besides unlabelled, expected 2 or more'),
    (tasks_without_json, [], r"no image for task 70 .*put the images and the project's JSON"),
    (few, [], r'1 of 1 samples would be for validation: .* --val'),
    (pairs, ['--labels', 'nowhere'], r'no folder nowhere in .* or here: check --labels'),
    (pairs, ['--unlabelled', 'sea'], r'--unlabelled sea is no class, id or color such as #e0e0c0'),
]


@pytest.mark.parametrize('make, words, sentence', WRONG, ids=lambda x: getattr(x, '__name__', ''))
def test_wrong_folder_gets_one_sentence(tmp_path, make, words, sentence):
    make(tmp_path / 'data')
    with pytest.raises(DataError, match=sentence):
        found(tmp_path / 'data', *words)


LAYOUTS = [
    ('images/train/{}.jpg', 'labels/train/{}.png', {}),
    ('train/images/{}.jpg', 'train/masks/{}.png', {}),
    ('train/{}.jpg', 'trainannot/{}.png', {}),
    ('{}.jpg', '{}_label.png', dict(label_suffix='_label.png', img_suffix=('.jpg',))),
    ('{}.png', '{}_mask.png', dict(label_suffix='_mask.png', img_suffix=('.png',))),
    (
        'leftImg8bit/train/a/{}_leftImg8bit.png',
        'gtFine/train/a/{}_gtFine_labelIds.png',
        dict(label_suffix='_gtFine_labelIds.png', img_suffix=('_leftImg8bit.png',)),
    ),
]


@pytest.mark.parametrize(
    'images, labels, suffixes', LAYOUTS, ids=lambda x: x if isinstance(x, str) else ''
)
def test_folders_and_suffixes_are_found(tmp_path, images, labels, suffixes):
    for split in ('train', 'val'):
        pairs(tmp_path / 'data', 12, labels.replace('train', split), images.replace('train', split))
    taken = found(tmp_path / 'data')
    assert {key: taken['data'][key] for key in taken['data'] if 'suffix' in key} == suffixes
    dataset = read(taken, tmp_path / 'out')
    assert (dataset.load_files(dataset.get_data_info(0))['label'] == truth(0)).all()
    both = [len(read(taken, tmp_path / 'out', split)) for split in ('train', 'val')]
    assert both == [12, 12] if 'train' in images else sum(both) == 12 and min(both) > 0


def test_classes_from_ids_colors_and_lists(tmp_path):
    # 0 and 255 alone are two classes; 255 beside others is unlabelled
    binary = {f'_{i}': np.where(truth(i) == 1, 255, 0).astype(np.uint8) for i in range(4)}
    data = found(pairs(tmp_path / 'a', **binary))['data']
    assert data['metainfo']['classes'] == ('background', 'object')
    assert data['label'] == dict(label_map={0: 0, 255: 1})

    holes = {f'_{i}': np.array([7, 255, 30], np.uint8)[truth(i)] for i in range(4)}
    data = found(pairs(tmp_path / 'b', **holes))['data']
    assert data['metainfo']['classes'] == ('class 7', 'class 30')
    assert data['label'] == dict(label_map={7: 0, 30: 1})

    # colors without names; the only color of lines around everything is unlabelled
    lines = {}
    for i in range(4):
        label = colored(truth(i))
        label[18:21] = 224, 224, 192
        lines[f'_{i}'] = label
    taken = found(pairs(tmp_path / 'c', **lines))
    assert taken['data']['metainfo']['classes'] == ('#000000', '#804000', '#0c22c8')
    assert taken['data']['label']['unlabelled_colors'] == [[224, 224, 192]]
    assert taken['told']['unlabelled'] == '[224, 224, 192]'

    # names, and one of them left out
    taken = found(pairs(tmp_path / 'd'), '--classes', 'ground,road,sky', '--unlabelled', 'sky')
    assert taken['data']['metainfo']['classes'] == ('ground', 'road')
    assert taken['data']['label'] == dict(unlabelled_ids=(2, 255))
    taken = found(tmp_path / 'd', '--classes', 'road,sky', '--unlabelled', '0')
    assert taken['data']['label'] == dict(label_map={1: 0, 2: 1}, unlabelled_ids=(0, 255))


def test_pascal_voc_has_its_own_lists_and_names(tmp_path):
    root = tmp_path / 'data'
    for i in range(6):
        photo(root / f'JPEGImages/{i}.jpg', i)
    for i in range(4):  # not every image is segmented
        label = truth(i) * 5
        label[39 + i] = 255
        save(root / f'SegmentationClass/{i}.png', label, 'P', VOC)
    lists = root / 'ImageSets/Segmentation'
    lists.mkdir(parents=True)
    for split, names in (('train', '0 1 2'), ('val', '3'), ('trainval', '0 1 2 3')):
        (lists / f'{split}.txt').write_text(names.replace(' ', '\n'))
    taken = found(root)
    assert taken['told']['program'] == 'Pascal VOC'
    classes = taken['data']['metainfo']['classes']
    assert len(classes) == 21 and classes[:11:5] == ('background', 'bottle', 'cow')
    dataset = read(taken, tmp_path / 'out', 'val')
    expected = truth(3) * 5
    expected[42] = 255
    assert len(dataset) == 1 and (dataset.load_files(dataset[0])['label'] == expected).all()


def test_val_list_and_shared_label_folder(tmp_path):
    root = pairs(tmp_path / 'data', 6, images='images/{}.v1.jpg', labels='labels/{}.v1.png')
    (tmp_path / 'val.txt').write_text('2.v1.jpg\n4.v1\n')
    lists = found(root, '--val', tmp_path / 'val.txt')['lists']
    assert lists == dict(train=['0.v1', '1.v1', '3.v1', '5.v1'], val=['2.v1', '4.v1'])

    root = pairs(tmp_path / 'split', 3, images='images/train/{}.jpg')
    pairs(root, 5, images='images/val/{}.jpg')
    for i in range(3):
        (root / f'images/val/{i}.jpg').unlink()
    taken = found(root)
    assert taken['lists'] == dict(train=['0', '1', '2'], val=['3', '4'])
    assert [len(read(taken, tmp_path / 'out', split)) for split in ('train', 'val')] == [3, 2]


@pytest.mark.parametrize(
    'line, taken',
    [
        ('traffic light', (None, 'traffic light', None)),
        ('class 3', (None, 'class 3', None)),
        ('7: road', (7, 'road', None)),
        ('7,road', (7, 'road', None)),
        ('road, 128, 64, 0', (None, 'road', (128, 64, 0))),
        ('128 64 0\troad sign', (None, 'road sign', (128, 64, 0))),
        ('road:128,64,0:body:', (None, 'road', (128, 64, 0))),
    ],
)
def test_lines_of_class_files(tmp_path, line, taken):
    (tmp_path / 'classes.txt').write_text(f'# a comment\nname,r,g,b\n{line}\n')
    assert layouts.read_names(tmp_path / 'classes.txt') == [taken]


NARROW = [  # in the words of a command line
    'model.generator.global_generator.base_channels=8',
    'model.generator.global_generator.max_channels=8',
    'model.generator.global_generator.num_blocks=1',
    'model.generator.refiners.0.base_channels=8',
    'model.generator.refiners.0.attention_channels=8',
    'model.generator.refiners.0.num_blocks=1',
    'model.discriminator.channels=8',
    'model.discriminator.embed_channels=8',
    'model.noise_prior.base_channels=4',
    'model.noise_prior.code_rank=1',
]
PRIOR = ['model.base_channels=4', 'model.code_rank=1']
LOADERS = [f'{split}_dataloader.num_workers=0' for split in ('train', 'val')]


@pytest.fixture
def planned(use, repository, monkeypatch, tmp_path_factory):
    """Make a :class:`Fit` whose tools run in this process: one iteration each, no measuring.

    All tests share the prior of the first one.
    """
    kept = tmp_path_factory.getbasetemp() / 'fit_prior'

    def tool(self, name, tool, *words, made=''):
        if made and (self.out / made).exists():
            return
        if f'{self.out}/probe' in words:
            return (self.out / 'probe').mkdir()
        if tool == 'train':
            words = [*words, '--cfg-options', *LOADERS, *dict(prior=PRIOR, gan=NARROW)[name]]
        if name == 'prior':
            words += ['--work-dir', kept]
        if not (name == 'prior' and kept.exists()):
            if use(tool, *[f'{self.out}/{name}.py'] * bool(name), *words):
                raise SLNPError(f'{tool} failed')
        if name == 'prior':
            shutil.copytree(kept, self.out / 'prior')
        ran.append(tool)

    def make(root, *words):
        ran.clear()
        return fit.Fit(options(root, root.parent / 'out', '--size', 64, *words))

    ran = make.ran = []
    monkeypatch.setattr(fit.Fit, 'tool', tool)
    monkeypatch.setattr(fit.Fit, 'logged', lambda self, name: [dict(time=0.1, step=1)] * 8)
    monkeypatch.setattr(fit.Fit, 'affordable', lambda self, name, seconds: 1)
    monkeypatch.setattr(fit.Fit, 'left', lambda self: 0)
    return make


@pytest.mark.parametrize('program', PROGRAMS)
def test_export_ends_in_a_picture_of_the_painter(tmp_path, planned, program):
    root, out = tmp_path / 'data', tmp_path / 'out'
    PROGRAMS[program](root, 12)
    before = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    planned(root).run()
    assert planned.ran == ['check_dataset', 'train', 'train', 'publish']
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob('*')}

    inferencer = SLNPInferencer(None, out, 'cpu')
    names = [name.strip('_') for name in inferencer.classes]
    assert tuple(names) == CLASSES and inferencer.image_size == (64, 64)
    client = TestClient(painter.make_app([painter.Model('mine', '', lambda: inferencer)]))
    answer = client.get('http://localhost/api/model').json()
    assert answer['classes'] == list(inferencer.classes)
    query = 'http://localhost/api/picture?height=64&width=64&seed=0&count=1'
    picture = client.post(query, content=bytes(64 * 64)).content
    assert len(picture) == 64 * 64 * 3


def test_gan_trains_on_while_there_is_time(tmp_path, planned, monkeypatch):
    one = planned(pairs(tmp_path / 'data', 12))
    monkeypatch.setattr(fit.Fit, 'left', lambda self: 91 if self.plan.get('until') == 1 else 0)
    one.run()  # 90 s are 5 % of 30 minutes
    assert planned.ran == ['check_dataset', 'train', 'train', 'train', 'publish']
    assert one.plan['until'] == 2
    assert cli.read_config(f'{one.out}/gan.py').train_cfg.max_iters == 2
    assert (one.out / 'gan/iter_2.pth').is_file()


def test_finished_run_is_kept_and_other_data_or_options_are_refused(tmp_path, planned):
    root, out = pairs(tmp_path / 'data', 12), tmp_path / 'out'
    planned(root).run()
    weights = (out / 'out.pth').stat().st_mtime_ns
    planned(root).run()
    assert planned.ran == [] and (out / 'out.pth').stat().st_mtime_ns == weights

    # --score adds a scorer and its metrics
    one = planned(root)
    one.args.score = True
    one.write(scorer=5)
    scorer, gan = (cli.read_config(f'{out}/{name}.py') for name in ('scorer', 'gan'))
    assert scorer.model.decode_head.num_classes == 3
    assert scorer.train_dataloader.dataset.data_root == str(root)
    assert scorer.scorer.checkpoint == f'{out}/scorer/scorer.pth'
    metrics = gan.test_evaluator.metrics
    assert [metric.type for metric in metrics] == ['SLNPSegMetric', 'SLNPScorerFrechet']
    assert {metric.scorer.config for metric in metrics} == {f'{out}/scorer.py'}

    with pytest.raises(SLNPError, match='out was planned with minutes 30, but now it is 5: give'):
        planned(root, '--minutes', 5).run()
    (root / 'classes.txt').write_text('ground\nroad\nsky')
    with pytest.raises(SLNPError, match='out was planned with files [0-9a-f]+, but now it is'):
        planned(root).run()

    # by hand, as the report says
    rows = (out / 'report.md').read_text()
    assert '| classes | 3: class 0, class 1, class 2 |' in rows
    assert f'python tools/painter.py {out} --examples {root}/labels`' in rows
    names = {*(out / 'train.txt').read_text().split(), *(out / 'val.txt').read_text().split()}
    assert names == {str(i) for i in range(12)}
    assert str(out) not in (out / 'gan.py').read_text() + (out / 'data.py').read_text()


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Make a :class:`Fit` with a tool ``train.py`` of some lines of code."""

    def make(code, **plan):
        root = pairs(tmp_path / 'data', 2)
        (tmp_path / 'train.py').write_text(f'import sys, time, signal, pathlib\n{code}\n')
        monkeypatch.setattr(fit, '__file__', str(tmp_path / 'fit.py'))
        monkeypatch.setattr(fit.Fit, 'write', lambda self, **values: self.plan.update(values))
        one = fit.Fit(options(root, tmp_path / 'out'))
        one.plan.update(plan)
        (tmp_path / 'out').mkdir()
        return one

    return make


def test_tool_runs_as_from_the_command_line(stage, tmp_path, capfd):
    one = stage('print(sys.argv[1:])\npathlib.Path(sys.argv[2]).touch()', pace={})
    for _ in range(2):
        one.tool('gan', 'train', tmp_path / 'out/made', made='made')
    command = f'tools/train.py {tmp_path}/out/gan.py {tmp_path}/out/made\n'
    assert capfd.readouterr().out == command
    log = (tmp_path / 'out/train.log').read_text()
    assert log == f"['{tmp_path}/out/gan.py', '{tmp_path}/out/made']\n"


@pytest.mark.parametrize(
    'code, why',
    [
        ('print("error: no luck", file=sys.stderr); sys.exit(1)', 'no luck'),
        ('print(1); 1 / 0', 'ZeroDivisionError: division by zero'),
        ('import os; os.kill(os.getpid(), 9)', 'exit code -9'),
    ],
)
def test_failed_tool_is_named_with_its_last_line(stage, tmp_path, code, why):
    with pytest.raises(SLNPError) as caught:
        stage(code, pace={}).tool('gan', 'train')
    log = tmp_path / 'out/train.log'
    assert str(caught.value) == f'tools/train.py failed: {why} (log: {log})'


def test_gan_ends_where_it_is_when_the_time_is_over(stage, tmp_path, monkeypatch, capfd):
    code = (
        f'place = pathlib.Path({str(tmp_path)!r}, "out/gan"); place.mkdir()\n'
        'def save(*_):\n    (place / "iter_70.pth").touch(); sys.exit(130)\n'
        'signal.signal(signal.SIGTERM, save)\n'
        '(tmp := place / "iter_60.pth").touch()\ntime.sleep(60)'
    )
    one = stage(code, pace={}, end=10, until=100)
    place = tmp_path / 'out/gan/iter_60.pth'
    monkeypatch.setattr(fit.Fit, 'left', lambda self: -200 if place.exists() else 100)
    start = time.monotonic()
    one.tool('gan', 'train', made='gan/iter_100.pth')
    assert time.monotonic() - start < 30 and one.plan['until'] == 70
    assert 'the GAN ends at iteration 70' in capfd.readouterr().out


def test_check_stops_before_training(tmp_path, planned, capsys):
    root = pairs(tmp_path / 'data', 12, _3=truth(3)[:40])
    (root / 'labels/5.png').unlink()
    with pytest.raises(SLNPError, match='check_dataset failed'):
        planned(root).run()
    said = capsys.readouterr().out
    assert f'image {root}/images/5.jpg has no label in {root}/labels (1 such file)' in said
    assert f'{root}/labels/3.png is 96x40' in said
    assert planned.ran == []


@pytest.mark.parametrize(
    'words, sentence',
    [
        (['nowhere'], 'no folder at nowhere: check the path'),
        (['data', '--work-dir', 'data/out'], 'data/out would overwrite or mix with the input data'),
        (['data', '--work-dir', 'file/x'], 'file is a file, but --out=file/x needs a folder'),
    ],
)
def test_places_are_checked_first(tmp_path, use, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    pairs(tmp_path / 'data')
    (tmp_path / 'file').touch()
    before = sorted(tmp_path.rglob('*'))
    assert use('fit', *words) == 1
    assert f'error: {sentence}' in capsys.readouterr().err.replace('--work-dir ', '')
    assert sorted(tmp_path.rglob('*')) == before
