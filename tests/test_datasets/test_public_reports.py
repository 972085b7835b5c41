"""Files and settings from public bug reports of this field's tools, each with its right value.

The kinds of the first part: mmsegmentation issues 148, 185, 372, 1609, 1968, 2669, SPADE 166, MONAI
1854. COCO files are in ``test_instances.py``.

The second part, one test a report:

- https://github.com/mcordts/cityscapesScripts/issues/87 (labelTrainIds beside labelIds)
- https://github.com/NVIDIA/pix2pixHD/issues/206 (894 classes, as NYUv2 is published)
"""

import os
import signal
import unicodedata

import cv2
import numpy as np
import pytest
from PIL import Image

from slnp_mm.datasets import DataError, SLNPCityscapes, check_dataset, quick_check
from slnp_mm.datasets.files import list_files, turned
from slnp_mm.errors import SLNPError
from slnp_mm.evaluation.folder import list_images, names_in, pair
from slnp_mm.inferencer import find_labels

LOAD = [dict(type='SLNPLoadImage'), dict(type='SLNPLoadLabel')]
INSTANCES = dict(type='SLNPLoadInstances')
FORK = b'\0\5\x16\7' + bytes(80)  # what macOS writes beside a file


@pytest.fixture
def build(build):
    """Samples as they are loaded, if no other pipeline is given."""
    return lambda root, pipeline=(*LOAD, INSTANCES), **kwargs: build(
        root, pipeline=list(pipeline), **kwargs
    )


def names(dataset):
    return [dataset.get_data_info(i)['name'] for i in range(len(dataset))]


# one lister


def test_hidden_and_system_names_are_left_out_of_every_list(folder_pair, build):
    for junk in ('._0.jpg', '.DS_Store', '.ipynb_checkpoints/0-checkpoint.jpg', '@eaDir/0.jpg'):
        path = folder_pair / 'images' / junk
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(FORK)
    (folder_pair / '__MACOSX').mkdir()
    (folder_pair / '__MACOSX/0.png').write_bytes(FORK)
    (folder_pair / 'labels/._0.png').write_bytes(FORK)
    assert names(build(folder_pair)) == ['0', '1', '2']
    assert [name for _, name in find_labels(str(folder_pair / 'labels'))] == ['0', '1', '2']
    assert list(list_images(str(folder_pair / 'images'))) == ['0', '1', '2']


def test_links_are_followed_and_loops_end(folder_pair, build):
    (folder_pair / 'images/more').symlink_to(folder_pair / 'images')  # a loop
    (folder_pair / 'labels/more').symlink_to(folder_pair / 'labels')
    (folder_pair / 'images/self').symlink_to(folder_pair / 'images/self')
    (folder_pair / 'all').mkdir()
    (folder_pair / 'all/city').symlink_to(folder_pair / 'images')
    (folder_pair / 'all/town').symlink_to(folder_pair / 'images')
    assert names(build(folder_pair)) == ['0', '1', '2']
    found, other = list_files(str(folder_pair / 'all'), '.JPG')
    assert list(found) == ['city/0', 'city/1', 'city/2', 'town/0', 'town/1', 'town/2']
    assert other == {'self': 2}


def test_subfolders_are_part_of_the_name_in_scoring_too(tmp_path, files, build):
    for folder in ('images', 'labels', 'made'):
        for name in ('bonn/0.PNG', 'ulm/0.TIF'):  # both are found without a setting
            files.png(tmp_path / folder / name, np.zeros((8, 8), np.uint8))
    dataset = build(tmp_path)
    assert names(dataset) == ['bonn/0', 'ulm/0']
    assert [len(sample['label']) for sample in dataset] == [8, 8]
    images = list_images(str(tmp_path / 'made'))
    paths = pair(images, names_in(dataset, images), 'made')
    assert paths == [str(tmp_path / f'made/{name}') for name in ('bonn/0.PNG', 'ulm/0.TIF')]
    assert pair({'x/a': '1', 'x/b': '2'}, ['y/b', 'y/a'], 'f') == ['2', '1']
    with pytest.raises(SLNPError, match='2 missing: bonn/0, ulm/0; 1 extra: made/0'):
        pair({'made/0': '1'}, ['bonn/0', 'ulm/0'], 'f')


def test_images_are_paired_by_the_sets_name_or_by_their_own(folder_pair, files, build):
    for i in range(3):
        (folder_pair / f'images/{i}.jpg').rename(folder_pair / f'images/{i}_img.jpg')
        for folder, name in (('ours', f'{i}.png'), ('theirs', f'{i}_img.png')):
            files.png(folder_pair / folder / name, np.zeros((8, 8), np.uint8))
    dataset = build(folder_pair, img_suffix='_img.jpg')
    for folder in ('ours', 'theirs', 'images'):
        images = list_images(str(folder_pair / folder), dataset.suffixes['img'])
        assert len(pair(images, names_in(dataset, images), folder)) == 3


def test_cityscapes_folder_gives_label_ids_only(make_set):
    folder = make_set('cityscapes') / 'gtFine/val'
    found = find_labels(str(folder), '_gtFine_labelIds.png')
    assert [name for _, name in found] == [f'ulm/ulm_{i:06d}_000019' for i in range(3)]


def test_folder_that_cannot_be_read_is_named(folder_pair, monkeypatch, build):
    def refuse(place):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr('slnp_mm.datasets.files.os.scandir', refuse)
    with pytest.raises(DataError, match='cannot list .*/images/: Permission denied; fix'):
        build(folder_pair)


def test_names_that_are_no_text_work_and_are_shown(folder_pair, build):
    bad = os.fsdecode(b'caf\xe9')
    for kind, end in (('images', '.jpg'), ('labels', '.png')):
        (folder_pair / f'{kind}/1{end}').rename(folder_pair / f'{kind}/{bad}{end}')
    steps = [*LOAD, INSTANCES]
    dataset = build(folder_pair, steps)
    assert len(list(dataset)) == 3 and bad in names(dataset)
    assert check_dataset(dataset, 1).ok
    (folder_pair / f'labels/{bad}.png').write_bytes(b'x')
    with pytest.raises(DataError, match=r'cannot decode .*labels/caf\\udce9\.png'):
        list(build(folder_pair, steps))


def test_accents_pair_in_both_of_unicodes_forms(folder_pair, build):
    one, two = (unicodedata.normalize(form, 'über') for form in ('NFC', 'NFD'))
    assert one != two
    (folder_pair / 'images/1.jpg').rename(folder_pair / f'images/{two}.jpg')
    (folder_pair / 'labels/1.png').rename(folder_pair / f'labels/{one}.png')
    (folder_pair / 'list.txt').write_text(f'{two}.jpg\n')
    assert names(build(folder_pair)) == ['0', '2', one]
    assert names(build(folder_pair, ann_file='list.txt')) == [one]


def test_home_folder_is_known_in_every_path(folder_pair, monkeypatch, build):
    monkeypatch.setenv('HOME', str(folder_pair.parent))
    (folder_pair / 'list.txt').write_text('1')
    assert len(build('~/pair')) == 3
    prefix = dict(img='~/pair/images', label='~/pair/labels')
    assert names(build('', data_prefix=prefix, ann_file='~/pair/list.txt')) == ['1']


# settings


@pytest.mark.parametrize(
    'lines, found',
    [
        ('0\r\n2\r\n', ['0', '2']),
        ('\ufeff2.jpg\n\n0.png\n', ['0', '2']),
        ('./images/1.jpg', ['1']),
        ('images\\1.jpg\n', ['1']),
    ],
)
def test_list_of_names_chooses_the_samples(folder_pair, lines, found, build):
    (folder_pair / 'train.txt').write_bytes(lines.encode())
    dataset = build(folder_pair, ann_file='train.txt')
    assert names(dataset) == found
    assert check_dataset(dataset, 1).num_checked == len(found)


def test_files_outside_the_list_need_no_partner(folder_pair, build):
    (folder_pair / 'labels/1.png').unlink()
    (folder_pair / 'train.txt').write_text('0\n2')
    assert len(build(folder_pair, ann_file='train.txt')) == 2
    (folder_pair / 'train.txt').write_text('1')
    with pytest.raises(DataError, match=r'1\.jpg has no label'):
        build(folder_pair, ann_file='train.txt')


@pytest.mark.parametrize(
    'lines, words',
    [
        ('0\nx.jpg', r'train\.txt, line 2: x\.jpg is no image in .*images; expected one name'),
        ('0 0', r'line 1: 0 0 is no image'),
        ('0\n1\n0.jpg', r'line 3: 0\.jpg is already in line 1'),
        ('\n \n', 'holds no name'),
        (None, r'no list of names at .*train\.txt; check ann_file'),
    ],
)
def test_list_that_is_not_understood_is_named(folder_pair, lines, words, build):
    if lines is not None:
        (folder_pair / 'train.txt').write_text(lines)
    with pytest.raises(DataError, match=words):
        build(folder_pair, ann_file='train.txt')


@pytest.mark.parametrize(
    'settings, words',
    [
        (dict(reduce_zero_label=True), r'reduce_zero_label \(use label=dict\(reduce_zero'),
        (dict(seg_map_suffix='.png'), r'seg_map_suffix \(use label_suffix\)'),
        (dict(classes=('a',)), r'classes \(use metainfo=dict\(classes'),
        (dict(ignore_index=0), r'ignore_index \(use label=dict\(unlabelled_ids'),
        (dict(split='train'), r'split \(use ann_file'),
        (dict(max_refetch=3), r'max_refetch \(use skip_corrupt=True\)'),
        (dict(filter_cfg=dict()), r'filter_cfg \(use ann_file'),
        (dict(lable_suffix='.png'), r'lable_suffix \(use label_suffix\)'),
        (dict(frobnicate=1), r'SLNPDataset does not take frobnicate; it takes data_root, split'),
        (dict(data_prefix=dict(img_path='x')), r'img_path and seg_map_path are img and label'),
        (dict(metainfo=dict(classes=('a',), reduce_zero_label=1)), 'metainfo does not take reduce'),
        (dict(exif_orientation='yes'), "one of .*'images', 'both'.* got 'yes'"),
        (dict(data_root='/no'), 'data root /no not found; put the data there or set data_root'),
        (dict(metainfo=None), 'needs the class names in id order'),
        # pix2pixHD 206: NYUv2 is published with 894 classes
        (dict(metainfo=dict(classes=('a',) * 894)), r'must be 1\.\.255 .* got 894'),
        (dict(metainfo=dict(classes='ab', palette=[])), r"classes=.*, got 'ab'$"),
        (dict(metainfo=dict(classes=('a', 'b'), palette=[[0] * 3])), '1 colors for 2 classes'),
        (dict(data_prefix=dict(label='maps')), r'label folder .*/maps not found'),
        (dict(instance=dict(category_map={1: 0})), 'category_map is for a json_file'),
        (dict(instance=dict(background_ids=(0,))), 'background_ids is for instance maps'),
        (
            dict(label_suffix='.tif'),
            r'no label file ending in \.tif in .*labels, which holds 3 \.png; set label_suffix or '
            'data_prefix',
        ),
        (
            dict(label=dict(unlabeled_ids=(0,))),
            r'label=dict\(\.\.\.\) takes colors, label_map, reduce_zero_label, '
            'unlabelled_colors, unlabelled_ids, got unlabeled_ids$',
        ),
        (
            dict(instance=dict(background=(0,))),
            'takes background_below, background_ids, category_map, json_file, got background$',
        ),
        (
            dict(instance=dict(json_file='a.json'), data_prefix=dict(instance='labels')),
            'instances come from the maps in .*labels or from json_file a.json, not from both',
        ),
    ],
)
def test_setting_that_is_ignored_or_impossible_is_named(folder_pair, settings, words, build):
    with pytest.raises(DataError, match=words):
        build(folder_pair, **settings)


def test_masks_of_0_and_255_are_told_from_unlabelled_pixels(folder_pair, files, build):
    """mmsegmentation 1609, SPADE 166: without a setting, 255 is unlabelled."""
    for i in range(3):
        files.png(folder_pair / f'labels/{i}.png', files.blocks([0, 255]).astype(np.uint8))
    two = dict(metainfo=dict(classes=('sky', 'cat')))
    (text,) = check_dataset(build(folder_pair, **two), 1).problems['empty']
    assert text.endswith('masks of 0 and 255? Then set label=dict(label_map={0: 0, 255: 1})')
    report = check_dataset(build(folder_pair, label=dict(label_map={0: 0, 255: 1}), **two), 1)
    assert report.ok and report.pixels[[0, 1, 255]].tolist() == [1152, 1152, 0]


# palette files under colors


def test_palette_file_is_read_by_its_colors_where_colors_are_set(folder_pair, files, build):
    colors = [[9, 9, 9], [200, 0, 0], [0, 200, 0]]
    # index 0 is the second color: indices and colors differ
    files.png(folder_pair / 'labels/0.png', files.blocks([0, 1, 2]), colors[1:] + colors[:1])
    dataset = build(folder_pair, LOAD, label=dict(colors=colors))
    assert dataset[0]['label'][0, ::12].tolist() == [1, 2, 0]
    with pytest.raises(DataError, match=r'1\.png: .* it has one channel: if it holds ids, remove'):
        dataset[1]
    assert build(folder_pair, LOAD)[1]['label'][0, ::9].tolist() == [0, 1, 2, 255]  # as advised
    # grey values are colors too
    files.png(folder_pair / 'labels/0.png', files.blocks([0, 255, 128]).astype(np.uint8))
    dataset = build(folder_pair, LOAD, label=dict(colors=[[0] * 3, [128] * 3, [255] * 3]))
    assert dataset[0]['label'][0, ::12].tolist() == [0, 2, 1]


# EXIF orientation


def orient(path, orientation, image):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(image).save(path, exif=exif, quality=95)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_turning_is_that_of_pillow_and_can_be_undone(tmp_path, orientation):
    from PIL import ImageOps

    image = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    orient(tmp_path / 'a.png', orientation, image)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / 'a.png')))
    assert (turned(image, orientation) == shown).all()
    assert (turned(shown, orientation, back=True) == image).all()


@pytest.mark.parametrize('kind', ['jpg', 'png'])
def test_orientation_is_told_by_the_check_and_applied_on_request(folder_pair, files, kind, build):
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, :16] = 250  # left half, as stored
    (folder_pair / 'images/0.jpg').unlink()
    orient(folder_pair / f'images/0.{kind}', 3, image)  # shown upside down: of the same size
    label = files.blocks([0, 1]).astype(np.uint8)
    files.png(folder_pair / 'labels/0.png', label)

    pack = [*LOAD, dict(type='SLNPPackInputs', keys=['img', 'label'])]
    (text,) = check_dataset(build(folder_pair, pack), 1).problems['orientation']
    assert f'0.{kind} has EXIF orientation 3' in text and "'images' if the labels" in text
    assert quick_check(build(folder_pair)) == 3  # training goes on
    sides = {}
    for choice in ('ignore', 'images', 'both'):
        dataset = build(folder_pair, exif_orientation=choice)
        assert check_dataset(dataset, 1).ok
        sample = dataset[0]
        bright = sample['img'][12, 4, 0] > 128
        classes = sample['instance_labels'][sample['instances'][0]]
        assert (classes == sample['label']).all()
        sides[choice] = (bool(bright), int(sample['label'][12, 4]))
    assert sides == dict(ignore=(True, 0), images=(False, 0), both=(False, 1))


@pytest.mark.parametrize('choice', ['images', 'both'])
def test_quarter_turn_changes_the_sides(folder_pair, files, choice, build):
    image = np.zeros((24, 32, 3), np.uint8)
    orient(folder_pair / 'images/0.jpg', 6, image)
    if choice == 'images':  # drawn on what a viewer shows
        files.png(folder_pair / 'labels/0.png', np.zeros((32, 24), np.uint8))
    sample = build(folder_pair, exif_orientation=choice, image_size=4)[0]
    assert sample['label'].shape == sample['instances'][0].shape == (32, 24)
    assert sample['ori_shape'] == (32, 24) and sample['img'].shape == (8, 6, 3)


# never "no problem" about nothing


def test_check_of_nothing_is_a_problem(folder_pair, build):
    with pytest.raises(DataError, match='limit must be at least 1 sample, got 0'):
        check_dataset(build(folder_pair), 1, limit=0)
    with pytest.raises(DataError, match='indices=0 leaves no sample'):
        build(folder_pair, indices=0)
    assert check_dataset(build(folder_pair, indices=[2]), 1).num_checked == 1


def test_check_does_not_hang_after_opencv_has_used_threads(folder_pair, build):
    """Forked workers have none of the threads of the pool; opencv issue 5150."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (31, 31), 0)  # starts the pool
    signal.alarm(60)
    try:
        assert check_dataset(build(folder_pair), 2).num_checked == 3
        assert cv2.getNumThreads() == 4
    finally:
        signal.alarm(0)
        cv2.setNumThreads(before)


def test_check_leaves_the_random_sources_as_they_were(folder_pair, build):
    steps = [*LOAD, dict(type='SLNPFlip')]
    before = np.random.get_state()[2]
    quick_check(build(folder_pair, steps))
    assert np.random.get_state()[2] == before


# further reports


def test_cityscapes_train_ids_are_not_mapped_twice(make_set, files):
    """cityscapesScripts 87: mmseg's users have labelTrainIds, others labelIds."""
    root = make_set('cityscapes')
    for i in range(3):
        path = root / f'gtFine/val/ulm/ulm_{i:06d}_000019_gtFine_labelTrainIds.png'
        files.png(path, files.blocks([0, 13, 255, 10]).astype(np.uint8))
    rows = [
        SLNPCityscapes(str(root), 'val', pipeline=LOAD, **keys)[0]['label'][0, ::8].tolist()
        for keys in ({}, dict(label_suffix='_gtFine_labelTrainIds.png'))
    ]
    assert rows == [[0, 13, 255, 10]] * 2
