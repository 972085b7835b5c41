import numpy as np
import pytest

from slnp_mm.datasets import CorruptFileError, DataError, SLNPCOCOStuff

INST = dict(data_prefix=dict(instance='inst'))


def test_any_folder_pair_works_by_config_alone(folder_pair, build):
    dataset = build(folder_pair, image_size=(16, 12))
    sample = dataset[1]
    meta = sample['data_samples'].metainfo
    assert len(dataset) == len(list(dataset)) == len(dataset.metainfo['palette']) == 3
    assert meta['img_path'].endswith('images/1.jpg')
    assert meta['label_path'].endswith('labels/1.png')
    assert (meta['sample_idx'], meta['ori_shape'], meta['img_shape']) == (1, (24, 32), (16, 12))
    assert sample['inputs']['instance_labels'].tolist() == [0, 1, 2] + [-1] * 5
    with pytest.raises(IndexError, match='has 3 samples, got index 3'):
        dataset[3]


NO_IMAGE = r'no image in .*images \(1 such file\); add it or remove the '


@pytest.mark.parametrize(
    'gone, more, settings, words',
    [
        ('labels/1.png', '', {}, r'image .*images/1\.jpg has no label in .*labels \(1 such file\)'),
        ('images/2.jpg', '', {}, rf'label .*labels/2\.png has {NO_IMAGE}label'),
        ('inst/2.png', '', INST, r'2\.jpg has no instance map'),
        ('', 'inst/3.png', INST, rf'instance map .*inst/3\.png has {NO_IMAGE}instance map'),
        ('', 'images/1.png', {}, 'have the same name'),
    ],
)
def test_file_without_its_partner_is_named(folder_pair, files, gone, more, settings, words, build):
    for i in range(3):
        files.png(folder_pair / f'inst/{i}.png', np.zeros((24, 32), np.uint8))
    if gone:
        (folder_pair / gone).unlink()
    if more:
        files.png(folder_pair / more, np.zeros((24, 32), np.uint8))
    with pytest.raises(DataError, match=words):
        build(folder_pair, **settings)


@pytest.mark.parametrize(
    'image, ids, words',
    [
        ((24, 30), (24, 32), r'label .*0\.png is 32x24, but image .*0\.jpg is 30x24 \(width x hei'),
        ((32, 24), (24, 32), 'EXIF rotation'),
        ((24, 32), (24, 30), r'instance map .*0\.png is 30x24, but its label is 32x24'),
    ],
)
def test_sizes_that_differ_are_named(folder_pair, files, image, ids, words, build):
    files.jpg(folder_pair / 'images/0.jpg', image)
    for i in range(3):
        files.png(folder_pair / f'inst/{i}.png', np.zeros(ids, np.uint8))
    with pytest.raises(DataError, match=words):
        build(folder_pair, **INST)[0]


def test_names_that_never_agree_are_one_sentence_with_the_suffix(folder_pair, build):
    for path in (folder_pair / 'labels').iterdir():
        path.rename(path.with_name(f'{path.stem}_ids.png'))
    dataset = build(folder_pair, lazy_init=True)
    (text,) = dataset.unpaired(dataset.find_all())
    assert text.startswith('none of the 3 images in ')
    assert 'whose first file is 0_ids.png; rename the files' in text
    assert text.endswith(": label_suffix='_ids.png'")
    assert len(build(folder_pair, label_suffix='_ids.png')) == 3
    for path in (folder_pair / 'images').iterdir():
        path.rename(path.with_name(f'{path.stem}_rgb.jpg'))
    for path in (folder_pair / 'labels').iterdir():
        path.rename(path.with_name(path.name.replace('_ids', '')))
    with pytest.raises(DataError, match=r": img_suffix='_rgb\.jpg'$"):
        build(folder_pair)


@pytest.fixture
def one_folder(folder_pair):
    """Images and masks in one folder, as Roboflow exports them: 0.jpg and 0_mask.png."""
    for path in (folder_pair / 'labels').iterdir():
        path.rename(folder_pair / f'images/{path.stem}_mask.png')
    return folder_pair


@pytest.mark.parametrize(
    'suffixes', [dict(label_suffix='_mask.png'), dict(img_suffix='.jpg', label_suffix='_mask.png')]
)
def test_images_and_labels_in_one_folder_are_told_apart_by_suffix(one_folder, suffixes, build):
    both = dict(data_prefix=dict(img='images', label='./images'))
    words = (
        r'is the folder of both images and labels, and .*0_mask\.png would be both; set img_suffix '
        r"and label_suffix .* label_suffix='_mask\.png'"
    )
    with pytest.raises(DataError, match=words):
        build(one_folder, **both)
    dataset = build(one_folder, **both, **suffixes)
    paths = [dataset.get_data_info(i) for i in range(3)]
    assert [info['img_path'][-5:] for info in paths] == ['0.jpg', '1.jpg', '2.jpg']
    assert [info['label_path'][-10:] for info in paths] == [f'{i}_mask.png' for i in range(3)]
    # images of the same ending: the longer suffix says what a file is
    for i in range(3):
        (one_folder / f'images/{i}.jpg').rename(one_folder / f'images/{i}.png')
    assert len(build(one_folder, **both, label_suffix='_mask.png')) == 3


def test_sets_that_share_transforms_keep_their_own_rules(folder_pair, build):
    steps = list(build(folder_pair).pipeline.transforms)
    one = build(folder_pair, pipeline=steps)
    two = build(folder_pair, pipeline=steps, label=dict(label_map={0: 2, 1: 1, 2: 0, 255: 255}))
    for dataset, classes in ((one, [0, 1, 2]), (two, [2, 1, 0])):
        assert dataset[0]['inputs']['label'][0, 0, [1, 5, 9]].tolist() == classes


def test_folder_that_holds_nothing_is_named(folder_pair, build):
    (folder_pair / 'none').mkdir()
    with pytest.raises(DataError, match='which holds no file at all'):
        build(folder_pair, data_prefix=dict(label='none'))


@pytest.fixture
def one_cut(folder_pair):
    path = folder_pair / 'images/1.jpg'
    path.write_bytes(path.read_bytes()[:200])
    return folder_pair


def test_skip_corrupt_replaces_counts_and_logs_what_else_stops(one_cut, monkeypatch, build):
    lines = []
    monkeypatch.setattr(
        'slnp_mm.datasets.slnp_dataset.print_log', lambda text, **_: lines.append(text)
    )
    with pytest.raises(CorruptFileError, match=r'cannot decode .*1\.jpg'):
        build(one_cut)[1]
    dataset = build(one_cut, skip_corrupt=True)
    for count in (1, 2):
        assert dataset[1]['data_samples'].img_path.endswith('2.jpg')
        assert dataset.num_corrupt == count
        assert f'replaced a sample, {count} so far: cannot decode' in lines[-1]
        assert 'images/1.jpg' in lines[-1]
    for i in (0, 2):
        (one_cut / f'images/{i}.jpg').write_bytes(b'')
    with pytest.raises(CorruptFileError, match='none of the 3 samples'):
        build(one_cut, skip_corrupt=True)[0]


def test_skip_corrupt_count_of_workers_is_in_the_log_file(one_cut, tmp_path, build):
    from mmengine.logging import MMLogger
    from torch.utils.data import DataLoader

    path = tmp_path / 'run.log'
    MMLogger.get_instance('skip_corrupt_log', log_file=str(path))
    dataset = build(one_cut, skip_corrupt=True)
    for count in (1, 2):
        list(DataLoader(dataset, num_workers=2, collate_fn=list))
        assert dataset.num_corrupt == count
    text = path.read_text()
    assert '1 so far: cannot decode' in text and '2 so far' in text
    assert 'images/1.jpg' in text


def test_skip_corrupt_does_not_hide_wrong_ids(folder_pair, build):
    dataset = build(folder_pair, skip_corrupt=True, metainfo=dict(classes=('a', 'b')))
    words = r'labels/0\.png: label id 2 \(192 pixels\) is outside the allowed range 0\.\.1'
    with pytest.raises(DataError, match=words):
        dataset[0]


def test_coco_instances_source_is_checked():
    with pytest.raises(ValueError, match="got 'masks'"):
        SLNPCOCOStuff('x', instances='masks')
