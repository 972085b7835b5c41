import numpy as np
import pytest
from PIL import Image

from slnp_mm.datasets.codec import LabelCodec
from slnp_mm.errors import DataError

ONE = dict(num_classes=1, colors=[[1, 2, 3]])
BOTH = [[0] * 3, [9] * 3]


def decode(path, codec):
    """Read a file, and its bytes, which must be the same."""
    found = codec.read(path)
    assert np.array_equal(codec.read(path.read_bytes()), found)
    return found


COLOURS = [[128, 64, 0], [0, 64, 128]]


@pytest.mark.parametrize(
    'raw, palette, settings, label',
    [
        (np.uint8([[0, 1], [2, 255]]), None, {}, [[0, 1], [2, 255]]),
        (
            np.uint16([[300, 4000], [65535, 300]]),
            None,
            dict(unlabelled_ids=(65535,), label_map={300: 1, 4000: 0}),
            [[1, 0], [255, 1]],
        ),
        # of a palette the index counts, not the color
        (np.uint8([[2, 1], [0, 0]]), [[200, 0, 0], [0, 200, 0], [9] * 3], {}, [[2, 1], [0, 0]]),
        (
            np.uint8([[COLOURS[1], COLOURS[0]], [[0, 0, 0], COLOURS[0]]]),
            None,
            dict(num_classes=2, colors=COLOURS, unlabelled_colors=[[0, 0, 0]]),
            [[1, 0], [255, 0]],
        ),
    ],
)
def test_files_of_every_kind_become_classes(tmp_path, files, raw, palette, settings, label):
    files.png(tmp_path / 'a.png', raw, palette)
    found = decode(tmp_path / 'a.png', LabelCodec(**{'num_classes': 3, **settings}))
    assert found.dtype == np.uint8 and found.tolist() == label


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_grey_of_few_bits_keeps_ids(tmp_path, files, bits):
    ids = range(2**bits)
    row = ''.join(f'{v:0{bits}b}' for v in ids)
    row = row.ljust(-(-len(row) // 8) * 8, '0')
    rows = b'\0' + int(row, 2).to_bytes(len(row) // 8, 'big')
    (tmp_path / 'a.png').write_bytes(files.raw_png((1, len(ids)), bits, rows))
    assert decode(tmp_path / 'a.png', LabelCodec(16)).tolist() == [[*ids]]


@pytest.mark.parametrize(
    'settings, raw, label',
    [
        # nightrome/cocostuff issue 7: ids 1..182 instead of 0..181
        (dict(reduce_zero_label=True), [0, 1, 2, 255], [255, 0, 1, 255]),
        (dict(num_classes=254, reduce_zero_label=True), [0, 1, 254, 255], [255, 0, 253, 255]),
        (dict(num_classes=3, unlabelled_ids=(0, 255)), [0, 1, 2, 255], [255, 1, 2, 255]),
        (dict(label_map={7: 0, 9: 1, 3: 255}), [7, 9, 3, 255], [0, 1, 255, 255]),
        (dict(label_map={'7': 0, '9': 1}), [7, 9, 255], [0, 1, 255]),  # as JSON has it
        (dict(label_map={0: 0, 255: 1}), [0, 255], [0, 1]),
        (dict(label_map={0: 0}), [0, 255], [0, 255]),
        (dict(label_map={0: 0, 255: 255}), [0, 255], [0, 255]),
        (dict(label_map={1: 0, 2: 1}, unlabelled_ids=(0,)), [0, 1, 2], [255, 0, 1]),
    ],
)
def test_ids_follow_the_rule(settings, raw, label):
    codec = LabelCodec(**{'num_classes': 2, **settings})
    assert codec(np.uint8([raw]), 'a').tolist() == [label]


@pytest.mark.parametrize(
    'settings, raw, words',
    [
        (
            dict(),
            [[0, 7, 7]],
            r'x\.png: label id 7 \(2 pixels\) is outside the '
            r'allowed range 0\.\.2 \(unlabelled: 255\)',
        ),
        (dict(), [[3, 1, 2]], 'is reduce_zero_label unset'),
        (dict(unlabelled_ids=(0,)), [[0, 1, 255]], '255 only: does unlabelled_ids lack 255'),
        (dict(unlabelled_ids=()), [[0, 1, 255]], '255 only: is unlabelled_ids unset'),
        (dict(), [[3, 1]], r'3 the unlabelled one \(unlabelled_ids=\(3, 255'),
        (dict(), [[9, 9, 8]], r'8 \(1 pixels\) and 1 other id are outside'),
        (
            dict(reduce_zero_label=True, unlabelled_ids=(9,)),
            [[4]],
            r'range 1\.\.3 \(unlabelled: 0, 9, 255\)',
        ),
        (dict(label_map={1: 0}), [[0, 1]], 'does label_map miss these ids'),
        (dict(), [[24001, 0]], 'instance or panoptic ids'),
        (dict(), [[-1, 0]], 'unlabelled written as -1'),
        (dict(), [list(range(100, 120))], 'too few classes in the class list'),
        # colors where ids are expected, and the reverse
        (
            dict(),
            [[[0] * 3]],
            r'x\.png is an RGB label .*expected ids .*ids were saved as a color image',
        ),
        (dict(), [[[9, 8, 7], [2] * 3]], r'set label=dict\(colors'),
        (ONE, [[[1, 2, 3], [9, 8, 7]]], r'color \(9, 8, 7\) is of no class \(1 such'),
        (ONE, [[0, 0]], 'remove colors'),
    ],
)
def test_wrong_ids_name_file_id_count_range_and_cause(settings, raw, words):
    array = np.asarray(raw)
    array = array.astype(np.uint8 if 0 <= array.min() and array.max() < 256 else np.int32)
    with pytest.raises(DataError, match=words):
        LabelCodec(**{'num_classes': 3, **settings})(array, 'x.png')


@pytest.mark.parametrize(
    'settings, words',
    [
        (dict(label_map={255: 1}, unlabelled_ids=(255,)), 'sends id 255 to class 1, but unlab'),
        (dict(colors=BOTH, label_map={0: 1}), 'give colors or label_map, not both'),
        (dict(colors=BOTH, reduce_zero_label=True), 'colors or reduce_zero_label'),
        (dict(colors=BOTH, unlabelled_ids=(0,)), 'colors or unlabelled_ids'),
        (dict(unlabelled_colors=[[0, 0, 0]]), 'unlabelled_colors needs colors'),
        (dict(num_classes=255, reduce_zero_label=True), r'must be 1\.\.254 .* got 255'),
        (dict(num_classes=0), r'must be 1\.\.255 .* got 0'),
        (dict(num_classes=256), 'got 256'),
        (dict(label_map={1: 2}), 'sends id 1 to 2'),
        (dict(label_map={}, reduce_zero_label=True), 'not both'),
        (dict(colors=[[0, 0, 0]]), r'\(2\), got 1'),
        (dict(num_classes=1, colors=[[0, 0, 300]]), r'RGB triples of 0\.\.255'),
        (dict(colors=[[0, 0, 0]] * 2), 'share one RGB color'),
        (dict(label_map={}), 'label_map must send ids to classes'),
        (dict(label_map=[0, 1]), 'label_map must send ids to classes'),
        (dict(label_map={'sky': 0}), r"whole numbers, .* got \{'sky': 0\}"),
        (dict(label_map={0: 0.5}), r'whole numbers, .* got \[0\.5\]'),
        (dict(unlabelled_ids=255), r'unlabelled_ids must .* got 255$'),
        (dict(unlabelled_ids=(-1,)), r'0\.\.65535, got -1; save the labels'),
        (dict(label_map={70000: 0}), r'label_map must .* got 70000'),
    ],
)
def test_settings_that_nothing_can_meet_are_refused(settings, words):
    with pytest.raises(DataError, match=words):
        LabelCodec(**{'num_classes': 2, **settings})


@pytest.mark.parametrize(
    'settings, label, file',
    [
        (dict(), [[0, 2, 255]], [[0, 2, 255]]),
        (dict(reduce_zero_label=True), [[0, 2, 255]], [[1, 3, 0]]),
        (dict(label_map={7: 0, 300: 1, 9: 2, 8: 2, 4: 255}), [[0, 1, 2, 255]], [[7, 300, 8, 4]]),
        (
            dict(colors=[(1, 2, 3), (4, 5, 6), (7, 8, 9)], unlabelled_colors=[(0, 0, 0)]),
            [[1, 255]],
            [[[4, 5, 6], [0, 0, 0]]],
        ),
    ],
)
def test_encode_writes_what_a_call_reads(settings, label, file):
    codec, label = LabelCodec(3, **settings), np.array(label, np.uint8)
    raw = codec.encode(label)
    assert raw.tolist() == file
    assert raw.dtype == (np.uint16 if raw.max() > 255 else np.uint8)
    assert np.array_equal(codec(raw, 'a.png'), label)


def test_encode_names_what_the_files_lack():
    codec = LabelCodec(3, colors=[(1, 2, 3), (4, 5, 6), (7, 8, 9)])
    with pytest.raises(DataError, match='no value for unlabelled .255.: paint over it'):
        codec.encode(np.array([[1, 255]], np.uint8))


PALETTE = [[9, 8, 7], [128, 64, 0], [128, 64, 0]]


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'CMYK'])
def test_colors_are_read_by_a_palette_that_is_given(tmp_path, mode):
    image = Image.fromarray(np.uint8([[PALETTE[0], [0, 0, 0]]])).convert(mode)
    assert LabelCodec(3).read(image, palette=PALETTE).tolist() == [[0, 255]]
    with pytest.raises(DataError, match='the label map is an RGB label .*set label=dict.colors'):
        LabelCodec(3).read(image)


@pytest.mark.parametrize(
    'source, text',
    [
        (np.uint8([[PALETTE[1]]]), r'a: the color \(128, 64, 0\) is shared by classes'),
        (np.uint8([[[1, 1, 2]]]), r'a: the color \(1, 1, 2\) is of no class'),
        (np.float32([[[0, 0, 0]]]), r'expected RGB colors \(H, W, 3\), uint8, but got float32'),
        (np.float32([[0, 0]]), r'expected integers \(H, W\) or RGB colors .* got float32'),
        (np.int64([[0, 3]]), r'an array holds classes 0\.\.2 and 255 = unlabelled, but got 3'),
        (Image.new('LAB', (1, 1), (50, 9, 9)), 'a: the color .* is of no class'),
        (Image.new('HSV', (1, 1), (50, 99, 99)), 'a: the color .* is of no class'),
        (5, 'a must be a path, the bytes of a file, an array or a PIL image, but is a int'),
        (b'GIF89a', r'cannot decode a \(unknown image format'),
    ],
)
def test_what_is_no_label_map_is_one_sentence(source, text):
    with pytest.raises(DataError, match=text):
        LabelCodec(3).read(source, 'a', PALETTE)
