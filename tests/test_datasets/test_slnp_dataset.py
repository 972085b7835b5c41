import json
import multiprocessing
import os
import time

import numpy as np
import pytest
from mmagic.registry import DATASETS

from slnp_mm.datasets import CorruptFileError, DataError, SLNPCOCOStuff, SLNPDataset
from slnp_mm.datasets.instances import COCOIndex

PIPELINE = [
    dict(type='SLNPLoadImage'),
    dict(type='SLNPLoadLabel'),
    dict(type='SLNPLoadInstances', max_instances=8),
    dict(type='SLNPResize', size=16),
    dict(type='SLNPPackInputs'),
]
CLASSES = dict(classes=('a', 'b', 'c'))
INST = dict(data_prefix=dict(instance='inst'))


def build(root, **kwargs):
    cfg = dict(type='SLNPDataset', data_root=str(root), metainfo=CLASSES, pipeline=PIPELINE)
    return DATASETS.build({**cfg, **kwargs})


def test_any_folder_pair_works_by_config_alone(folder_pair):
    dataset = build(folder_pair)
    sample = dataset[1]
    meta = sample['data_samples'].metainfo
    assert len(dataset) == 3 and len(dataset.metainfo['palette']) == 3
    assert meta['img_path'].endswith('images/1.jpg')
    assert meta['label_path'].endswith('labels/1.png')
    assert (meta['sample_idx'], meta['ori_shape'], meta['img_shape']) == (1, (24, 32), (16, 16))
    assert sample['inputs']['instance_labels'].tolist() == [0, 1, 2] + [-1] * 5


def test_missing_data_root_is_named(tmp_path):
    words = 'data root .*nowhere not found; put the data there or set data_root'
    with pytest.raises(DataError, match=words):
        build(tmp_path / 'nowhere')


NO_IMAGE = r'no image in .*images \(1 such file\); add it or remove the '


@pytest.mark.parametrize(
    'gone, more, settings, words',
    [
        ('', '', dict(data_prefix=dict(label='maps')), r'label folder .*/maps not found'),
        ('labels/1.png', '', {}, r'image .*images/1\.jpg has no label in .*labels \(1 such file\)'),
        ('images/2.jpg', '', {}, rf'label .*labels/2\.png has {NO_IMAGE}label'),
        ('inst/2.png', '', INST, r'2\.jpg has no instance map'),
        ('', 'inst/3.png', INST, rf'instance map .*inst/3\.png has {NO_IMAGE}instance map'),
        ('', 'images/1.png', {}, 'have one name'),
        ('', '', dict(metainfo=None), 'needs the class names in id order'),
        ('', '', dict(metainfo=dict(palette=[[0] * 3], **CLASSES)), 'palette has 1 colours for 3'),
        (
            '',
            '',
            dict(label_suffix='.tif'),
            r'no label file ending in \.tif in .*labels, which holds 3 \.png; set label_suffix or '
            'data_prefix',
        ),
        (
            '',
            '',
            dict(label=dict(unlabeled_ids=(0,))),
            r'label=dict\(\.\.\.\) takes colours, label_map, reduce_zero_label, '
            'unlabelled_colours, unlabelled_ids, got unlabeled_ids$',
        ),
        (
            '',
            '',
            dict(instance=dict(background=(0,))),
            'takes background_below, background_ids, category_map, json_file, got background$',
        ),
    ],
)
def test_problem_of_folder_or_setting_is_named(folder_pair, files, gone, more, settings, words):
    for i in range(3):
        files.png(folder_pair / f'inst/{i}.png', np.zeros((24, 32), np.uint8))
    if gone:
        (folder_pair / gone).unlink()
    if more:
        files.png(folder_pair / more, np.zeros((24, 32), np.uint8))
    with pytest.raises(DataError, match=words):
        build(folder_pair, **settings)


@pytest.mark.parametrize(
    'image, ids, settings, words',
    [
        (
            (24, 32),
            (24, 32),
            dict(metainfo=dict(classes=('a', 'b'))),
            r'labels/0\.png: label id 2 \(192 pixels\) is outside the allowed range 0\.\.1',
        ),
        (
            (24, 30),
            (24, 32),
            {},
            r'label .*0\.png is 32x24, but image .*0\.jpg is 30x24 \(width x height\)',
        ),
        ((32, 24), (24, 32), {}, 'EXIF rotation'),
        ((24, 32), (24, 30), INST, r'instance map .*0\.png is 30x24, but its label is 32x24'),
    ],
)
def test_problem_of_a_sample_is_named(folder_pair, files, image, ids, settings, words):
    files.jpg(folder_pair / 'images/0.jpg', image)
    for i in range(3):
        files.png(folder_pair / f'inst/{i}.png', np.zeros(ids, np.uint8))
    with pytest.raises(DataError, match=words):
        build(folder_pair, **settings)[0]


def test_names_that_never_agree_are_one_sentence_with_the_suffix(folder_pair):
    for path in (folder_pair / 'labels').iterdir():
        path.rename(path.with_name(f'{path.stem}_ids.png'))
    dataset = build(folder_pair, lazy_init=True)
    (text,) = dataset.unpaired(dataset.find_all())
    assert text.startswith('none of the 3 images in ')
    assert 'whose first file is 0_ids.png; rename the files' in text
    assert text.endswith(": label_suffix='_ids.png'")
    assert len(build(folder_pair, label_suffix='_ids.png')) == 3


def test_image_ending_that_the_labels_lack_is_suggested(folder_pair):
    for path in (folder_pair / 'images').iterdir():
        path.rename(path.with_name(f'{path.stem}_rgb.jpg'))
    with pytest.raises(DataError, match=r": img_suffix='_rgb\.jpg'$"):
        build(folder_pair)


def test_folder_that_holds_nothing_is_named(folder_pair):
    (folder_pair / 'none').mkdir()
    with pytest.raises(DataError, match='which holds no file at all'):
        build(folder_pair, data_prefix=dict(label='none'))


@pytest.fixture
def one_cut(folder_pair):
    path = folder_pair / 'images/1.jpg'
    path.write_bytes(path.read_bytes()[:200])
    return folder_pair


def test_truncated_file_stops_by_default(one_cut):
    with pytest.raises(CorruptFileError, match=r'cannot decode .*1\.jpg'):
        build(one_cut)[1]


def test_skip_corrupt_replaces_counts_and_logs(one_cut, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'slnp_mm.datasets.slnp_dataset.print_log', lambda text, **_: lines.append(text)
    )
    dataset = build(one_cut, skip_corrupt=True)
    for count in (1, 2):
        assert dataset[1]['data_samples'].img_path.endswith('2.jpg')
        assert dataset.num_corrupt == count
        assert f'replaced a sample, {count} so far: cannot decode' in lines[-1]
        assert 'images/1.jpg' in lines[-1]


def test_skip_corrupt_count_of_workers_is_in_the_log_file(one_cut, tmp_path):
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


def test_skip_corrupt_does_not_hide_wrong_ids(folder_pair):
    dataset = build(folder_pair, skip_corrupt=True, metainfo=dict(classes=('a', 'b')))
    with pytest.raises(DataError, match='label id 2'):
        dataset[0]


def test_set_with_nothing_readable_ends(one_cut):
    for i in (0, 2):
        (one_cut / f'images/{i}.jpg').write_bytes(b'')
    with pytest.raises(CorruptFileError, match='not one of the 3 samples'):
        build(one_cut, skip_corrupt=True)[0]


def test_image_size_of_the_set_is_used_by_the_pipeline(folder_pair):
    pipeline = [dict(s) for s in PIPELINE]
    pipeline[3] = dict(type='SLNPResize')
    dataset = build(folder_pair, pipeline=pipeline, image_size=(8, 12))
    assert dataset[0]['inputs']['img'].shape == (3, 8, 12)


def _read_all(root, cache, expected):
    """Read a set often while the cache is being damaged; 1 if wrong."""
    steps = [dict(step) for step in PIPELINE]
    steps[2]['cache_dir'] = cache
    dataset = build(root, pipeline=steps)
    for _ in range(20):
        for one, two in zip(dataset, expected):
            if not (one['inputs']['instances'] == two).all():
                os._exit(1)
    os._exit(0)


def test_runs_share_a_cold_cache_that_is_being_damaged(folder_pair, tmp_path):
    expected = [s['inputs']['instances'] for s in build(folder_pair)]
    cache = tmp_path / 'shared'
    jobs = [
        multiprocessing.get_context('fork').Process(
            target=_read_all, args=(folder_pair, str(cache), expected)
        )
        for _ in range(3)
    ]
    for job in jobs:
        job.start()
    while any(job.is_alive() for job in jobs):
        for path in cache.rglob('*.rle'):
            path.write_bytes(b'damaged' * 20)
        time.sleep(0.01)
    assert [job.exitcode for job in jobs] == [0] * 3


def test_cache_follows_a_changed_label(folder_pair, files):
    dataset = build(folder_pair)
    assert (dataset[0]['inputs']['instance_labels'] >= 0).sum() == 3
    files.png(folder_pair / 'labels/0.png', files.blocks([1, 0, 1, 0, 2]).astype(np.uint8))
    assert (dataset[0]['inputs']['instance_labels'] >= 0).sum() == 5


def test_coco_instances_source_is_checked():
    with pytest.raises(ValueError, match="got 'masks'"):
        SLNPCOCOStuff('x', instances='masks')


@pytest.fixture
def coco(make_set):
    """COCO-Stuff with a JSON to change: its path, and the data set that reads it."""
    root = make_set('coco_stuff')
    path = root / 'annotations/instances_val2017.json'

    def build(pipeline=PIPELINE):
        return SLNPCOCOStuff(str(root), 'val2017', instances='json', pipeline=pipeline)

    return path, build


@pytest.mark.parametrize('content', ['{}[', '[1]', None])
def test_bad_coco_json_is_named(coco, content):
    path, build = coco
    path.unlink()
    if content:
        path.write_text(content)
    words = 'is not a COCO instances file' if content else 'instance file .*val2017.json not found'
    with pytest.raises(DataError, match=words):
        build()[0]


@pytest.mark.parametrize(
    'old, words',
    [
        ('"height"', r'val2017\.json: picture 000000000000\.jpg has no height'),
        ('"category_id"', r'annotation 1 of 000000000000\.jpg in .*has no category_id'),
        ('000000000000.jpg', r'0000\.jpg is listed 0 times in'),
    ],
)
def test_coco_json_without_an_entry_names_picture_and_object(coco, old, words):
    path, build = coco
    path.write_text(path.read_text().replace(old, '"other"' if '"' in old else 'x.jpg'))
    with pytest.raises(DataError, match=words):
        build()[0]


def _add_crowd(path, crowd):
    """Add an RLE mask of the last 8 columns (unlabelled but the first)."""
    data = json.loads(path.read_text())
    for i in range(3):
        mask = dict(size=[24, 32], counts=[24 * 20, 24 * 12])
        data['annotations'].append(
            dict(
                id=100 + i, image_id=i, iscrowd=crowd, category_id=3,
                area=24 * 12, bbox=[20, 0, 12, 24], segmentation=mask,
            )
        )  # fmt: skip
    path.write_text(json.dumps(data))


@pytest.mark.parametrize('crowd, cars', [(0, [8, 12]), (1, [8])])
def test_coco_rle_is_an_instance_unless_it_is_a_crowd(coco, crowd, cars):
    path, build = coco
    _add_crowd(path, crowd)
    steps = [dict(step) for step in PIPELINE[:3]]
    steps[2]['max_overlap'] = 2
    found = build(steps)[0]
    widths = [
        int((found['instances'] == i).any(0)[0].sum())
        for i in np.flatnonzero(found['instance_labels'] == 2)
    ]
    # the car's box and, where it is no crowd, the mask; bare car pixels
    bare = 16 - 14
    assert sorted(widths) == sorted([*cars, bare])


def test_coco_json_may_leave_out_iscrowd(coco):
    path, build = coco
    path.write_text(path.read_text().replace('"iscrowd"', '"other"'))
    assert (build()[0]['inputs']['instance_labels'] >= 0).sum() == 4


def test_coco_json_tells_equal_names_by_their_folder(coco):
    path, _ = coco
    text = path.read_text().replace('000000000001.jpg', 'b/000000000000.jpg')
    path.write_text(text.replace('"000000000000.jpg', '"a/000000000000.jpg'))
    index = COCOIndex(str(path), None, 182)
    assert index.find('x/b/000000000000.jpg')['id'] == 1
    assert index.find('x/a/000000000000.jpg')['id'] == 0
    with pytest.raises(DataError, match='lack their folders'):
        index.find('x/000000000000.jpg')


def test_subset_and_lazy_init_work(folder_pair):
    dataset = build(folder_pair, indices=2, lazy_init=True)
    dataset.full_init()
    assert len(dataset) == 2 and isinstance(dataset, SLNPDataset)


def test_loop_over_the_set_ends(folder_pair):
    dataset = build(folder_pair)
    assert len(list(dataset)) == 3
    with pytest.raises(IndexError, match='has 3 samples, got index 3'):
        dataset[3]
