"""Reports and folder scoring."""

import json
from unittest import mock

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from slnp_mm.errors import SLNPError
from slnp_mm.evaluation import SLNPSegMetric, report
from slnp_mm.evaluation.folder import (
    build_dataset,
    build_metrics,
    list_images,
    names_of,
    score_folder,
    score_training,
)


@pytest.fixture
def toy(tmp_path, tiny_scorer, tiny):
    """Config of a data set of five 32 px images with 4 classes."""
    rng = np.random.default_rng(0)
    for name in ('images/val', 'labels/val', 'made'):
        (tmp_path / name).mkdir(parents=True)
    for i in range(5):
        label = rng.integers(0, 4, (32, 32), dtype=np.uint8)
        label[:2] = 255
        for folder in ('images/val', 'made'):
            image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / folder / f'{i}.png'), image)
        cv2.imwrite(str(tmp_path / 'labels/val' / f'{i}.png'), label)
    dataset = tiny.set_config(
        tmp_path,
        data_prefix=dict(img='images/val', label='labels/val'),
        metainfo=dict(classes=('a', 'b', 'c', 'd')),
        test_mode=True,
        image_size=32,
    )
    evaluator = dict(type='Evaluator', metrics=dict(type='SLNPSegMetric', scorer=tiny_scorer))
    return tmp_path, Config(dict(test_dataloader=dict(dataset=dataset), test_evaluator=evaluator))


def make_report(cfg, folder):
    dataset, metrics = build_dataset(cfg), build_metrics(cfg)
    figures = score_folder(dataset, metrics, str(folder), batch_size=2)
    data, split = names_of(dataset)
    return report.build_report(metrics, dict(config='c.py', seed=0), data, split), figures


def changed(first, **protocol):
    """A copy of a report with other entries of the protocol; of networks, entries of theirs."""
    second = json.loads(json.dumps(first))
    for name, value in protocol.items():
        if isinstance(value, dict):
            second['protocol'][name].update(value)
        else:
            second['protocol'][name] = value
    return second


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_real_images_as_a_folder_reach_the_ceiling_exactly(toy, suffix):
    """As they are, and of 70x80 pixels, turned by their EXIF data, scored beside 32x32."""
    root, cfg = toy

    def check():
        result, figures = make_report(cfg, root / 'images/val')
        assert result['figures'] == figures
        for name in ('PA', 'mIoU', 'mAcc'):
            assert figures[name] == figures[f'real/{name}']

    check()
    exif = Image.Exif()
    exif[0x0112] = 6
    rng = np.random.default_rng(1)
    for i in range(5):
        image = Image.fromarray(rng.integers(0, 256, (70, 80, 3), dtype=np.uint8))
        (root / f'images/val/{i}.png').unlink()
        image.save(root / f'images/val/{i}{suffix}', exif=exif)
        label = rng.integers(0, 4, (70, 80), dtype=np.uint8)
        cv2.imwrite(str(root / f'labels/val/{i}.png'), label)
    for choice in (None, 'both'):
        cfg.test_dataloader.dataset.exif_orientation = choice
        check()


@pytest.mark.parametrize('kind', ['cut', 'text'])
def test_picture_that_cannot_be_decoded_is_named(toy, kind):
    root, cfg = toy
    path = root / 'made/2.png'
    if kind == 'text':
        path.write_bytes(b'no image')
    else:
        data = cv2.imencode('.jpg', cv2.imread(str(path)))[1].tobytes()
        path.write_bytes(data[: len(data) * 2 // 3])
        path = path.rename(path.with_suffix('.jpg'))
    words = dict(cut=r'.*copy it again$', text=r'\(unknown image format')[kind]
    with pytest.raises(SLNPError, match=rf'cannot decode .*made/{path.name} {words}'):
        make_report(cfg, root / 'made')


def test_report_holds_the_protocol_and_survives_saving(toy, tmp_path):
    root, cfg = toy
    result, _ = make_report(cfg, root / 'made')
    protocol = result['protocol']
    assert protocol['num_images'] == 5
    assert protocol['ignored_pixels'] == 5 * 2 * 32
    assert protocol['label_pixels'] == 5 * 32 * 32
    assert len(protocol['segmentation']['sha256']) == 64
    assert (protocol['data'], protocol['split']) == ('SLNPDataset', 'labels/val')
    assert [row['class'] for row in result['per_class']] == list('abcd')
    path, table = report.save_report(result, str(tmp_path / 'out' / 'r.json'))
    loaded = report.load_report(path)
    assert loaded == result
    assert report.differences(result, loaded) == []
    with open(table) as file:
        assert '| mIoU' in file.read()


def test_protocols_differ_in_scorer_count_and_size_only(toy):
    root, cfg = toy
    first, _ = make_report(cfg, root / 'made')
    network = dict(sha256='f' * 64, checkpoint='renamed.pth')
    gaps = report.differences(first, changed(first, segmentation=network, num_images=4))
    assert [gap.split(':')[0] for gap in gaps] == ['num_images', 'segmentation']

    # height and width may not be swapped
    tall, wide = (changed(first, segmentation=dict(input_size=x)) for x in ([2, 3], [3, 2]))
    (gap,) = report.differences(tall, wide)
    assert '[2; 3]' in gap and '[3; 2]' in gap

    # recorded, but no difference
    assert first['protocol']['segmentation']['precision'] == 'float32'
    assert report.differences(first, changed(first, segmentation=dict(precision='float16'))) == []


@pytest.mark.parametrize(
    'words, text',
    [
        (['c.py', '--images', 'made', '--out', 'r.txt'], '--out must end in .json, but got r.txt'),
        ([], 'give a config and --images'),
    ],
)
def test_wrong_arguments_are_refused_before_scoring(use, capsys, words, text):
    assert use('score', *words) == 2
    assert text in capsys.readouterr().err


def test_tool_compares_equal_protocols_only(use, tmp_path, capsys):
    """Second minus first."""
    paths = []
    for split, score in (('val', 50.0), ('train', 51.5)):
        protocol = dict(num_images=4, split=split)
        data = dict(format=1, figures=dict(PA=score), per_class=[], run={}, versions={})
        paths.append(tmp_path / f'{split}.json')
        paths[-1].write_text(json.dumps(dict(data, protocol=protocol)))
    assert use('score', '--compare', *paths) == 1
    said = capsys.readouterr().err
    assert 'protocols differ in split: val and train' in said
    assert 'error: these reports cannot be compared; use --force' in said
    assert use('score', '--compare', *paths, '--force') == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith('| PA')]
    assert [cell.strip() for cell in line.split('|')][-2] == '+1.5'
    assert use('score', '--compare', paths[0], paths[0]) == 0
    captured = capsys.readouterr()
    assert '+0' in captured.out and captured.err == ''


def test_tool_scores_a_folder_and_compares(toy, use, capsys):
    root, cfg = toy
    cfg.dump(root / 'toy.py')
    words = [root / 'toy.py', '--name', 'SPADE', '--out', root / 'a.json']
    assert use('score', *words, '--images', root / 'made') == 0
    assert '| mIoU' in capsys.readouterr().out
    saved = report.load_report(str(root / 'a.json'))
    want, _ = make_report(cfg, root / 'made')
    for part in ('figures', 'per_class', 'protocol'):
        assert saved[part] == want[part]
    assert saved['run'] == dict(config='toy.py', name='SPADE', images='made')
    assert set(saved['versions']) == {'slnp_mm', 'python', 'opencv', 'mmcv', *report.PACKAGES}


def test_tool_names_missing_and_extra_images(toy, use, capsys):
    root, cfg = toy
    cfg.dump(root / 'toy.py')
    (root / 'made/4.png').rename(root / 'made/more.png')
    (root / 'made/1.png').unlink()
    assert use('score', root / 'toy.py', '--images', root / 'made') == 1
    assert (
        f'error: Expected in {root / "made"} exactly one image for each of the 5 labels, by name; '
        '2 missing: 1, 4; 1 extra: more.'
    ) in capsys.readouterr().err


def test_two_scorers_stay_apart_by_their_prefix(toy, tiny_scorer):
    root, cfg = toy
    small = dict(tiny_scorer, input_size=(16, 16))
    one = cfg.test_evaluator.metrics
    cfg.test_evaluator.metrics = [dict(one, prefix='big'), dict(one, scorer=small, prefix='small')]
    result, figures = make_report(cfg, root / 'made')
    assert result['figures'] == figures
    assert figures['big/PA'] != figures['small/PA']
    assert result['protocol']['small/segmentation']['input_size'] == [16, 16]
    rows = report.markdown(result).splitlines()
    for name in ('big', 'small'):
        (line,) = [x for x in rows if x.startswith(f'| {name}/PA')]
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        assert cells[1:3] == [str(figures[f'{name}/PA']), str(figures[f'{name}/real/PA'])]
    assert len(result['per_class']) == 8
    other = changed(result, **{'small/segmentation': dict(sha256='f' * 64)})
    (gap,) = report.differences(result, other)
    assert gap.startswith('small/segmentation: ')


def test_undefined_figures_are_null_in_json(toy):
    """No labelled pixel: every figure is 0 / 0."""
    root, cfg = toy
    for i in range(5):
        cv2.imwrite(str(root / f'labels/val/{i}.png'), np.full((32, 32), 255, np.uint8))
    with pytest.warns(RuntimeWarning):
        result, _ = make_report(cfg, root / 'made')
    path, _ = report.save_report(result, str(root / 'r.json'))
    assert 'NaN' not in (root / 'r.json').read_text()
    loaded = report.load_report(path)
    assert loaded['figures']['PA'] is None
    assert loaded['figures']['share/mIoU'] is None
    assert '| PA    | -         | -' in report.markdown(loaded)
    assert '| PA' in report.compare(loaded, loaded, ['a', 'b'])


def test_figures_of_other_metrics_are_added_and_named(toy):
    root, cfg = toy
    dataset, metrics = build_dataset(cfg), build_metrics(cfg)
    figures = score_folder(dataset, metrics, str(root / 'made'))
    result = report.build_report(
        metrics, {}, others=dict(figures, **{'SWD/avg': 7.5, 'text': 'Nan'})
    )
    assert result['figures'] == dict(figures, **{'SWD/avg': 7.5})
    assert result['protocol']['others'] == ['SWD/avg']
    assert '| SWD/avg | 7.5 ' in report.markdown(result)


def test_metrics_that_cannot_score_a_folder_are_named(toy, tiny_scorer):
    root, cfg = toy
    cfg.test_evaluator.metrics = [
        cfg.test_evaluator.metrics,
        dict(type='SLNPDiversity', scorer=tiny_scorer),
        dict(type='SWD', fake_nums=5, image_shape=(3, 32, 32)),
    ]
    with mock.patch('slnp_mm.evaluation.folder.print_log') as log:
        (metric,) = build_metrics(cfg)
    assert isinstance(metric, SLNPSegMetric)
    assert [call.args[0] for call in log.call_args_list] == [
        'SLNPDiversity cannot score a folder of images: left out',
        'SWD cannot score a folder of images: left out',
    ]


def test_metric_and_folder_give_the_same_figures(toy, tiny_scorer):
    root, cfg = toy
    _, figures = make_report(cfg, root / 'made')
    metric = SLNPSegMetric(scorer=tiny_scorer)
    dataset = build_dataset(cfg)
    metric.dataset_meta = dataset.metainfo
    for i in range(5):
        item = dataset[i]
        made = cv2.imread(str(root / f'made/{i}.png')).transpose(2, 0, 1)
        made = item['inputs']['img'].new_tensor(made).float() + 0.4
        image, label = item['inputs']['img'].float(), item['inputs']['label'][0]
        sample = dict(fake_img=made, gt_img=image, gt_sem_seg=label, sample_idx=i)
        metric.process(None, [sample])
    assert metric.evaluate(5) == figures


def test_training_images_are_scored_as_if_generated(toy, tiny_scorer):
    """The training set is the validation set here, so every distance is 0."""
    root, cfg = toy
    metric = dict(type='SLNPScorerFrechet', scorer=tiny_scorer)
    cfg.test_evaluator.metrics = metric
    cfg.train_dataloader = cfg.test_dataloader
    dataset, metrics = build_dataset(cfg), build_metrics(cfg)
    figures = score_training(cfg, dataset, metrics, batch_size=2)
    assert figures['scorer_frechet'] == pytest.approx(0, abs=1e-4)
    cfg.train_dataloader.dataset.indices = 4
    with pytest.raises(SLNPError, match='at least 5 training images, got 4'):
        score_training(cfg, dataset, metrics)


def test_other_folders_replace_the_configs(toy):
    root, cfg = toy
    (root / 'labels/val').rename(root / 'elsewhere')
    dataset = build_dataset(cfg, labels=str(root / 'elsewhere'))
    assert len(dataset) == 5


def test_folder_errors(tmp_path):
    with pytest.raises(SLNPError, match='gone does not exist'):
        list_images(str(tmp_path / 'gone'))
    with pytest.raises(SLNPError, match='got none'):
        list_images(str(tmp_path))
    (tmp_path / 'a.png').touch()
    (tmp_path / 'a.jpg').touch()
    with pytest.raises(SLNPError, match='have the same name'):
        list_images(str(tmp_path))


def test_report_errors(tmp_path):
    with pytest.raises(ValueError, match='nothing to report'):
        report.build_report([], {})
    for text, sentence in (('{}', 'report of format 1'), ('{', 'does not parse')):
        (tmp_path / 'r.json').write_text(text)
        with pytest.raises(ValueError, match=sentence):
            report.load_report(str(tmp_path / 'r.json'))
