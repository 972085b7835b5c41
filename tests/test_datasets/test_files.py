import io

import cv2
import numpy as np
import PIL
import pytest
from PIL import Image

from slnp_mm.datasets.files import (
    decode_ids,
    decode_image,
    exif_orientation,
    header_size,
    id24,
    open_source,
    read_bytes,
    read_image,
    reduction,
)
from slnp_mm.errors import CorruptFileError, DataError


@pytest.fixture
def stored(tmp_path, files):
    """The bytes of a 'jpg' and of a 'png' file, 64x64."""
    files.jpg(tmp_path / 'a.jpg', (64, 64))
    files.png(tmp_path / 'a.png', np.random.default_rng(0).integers(0, 9, (64, 64), np.uint8))
    return {kind: (tmp_path / f'a.{kind}').read_bytes() for kind in ('jpg', 'png')}


def test_header_size_is_height_and_width(tmp_path, files):
    files.png(tmp_path / 'a.png', np.zeros((20, 31), np.uint8))
    assert header_size((tmp_path / 'a.png').read_bytes()) == (20, 31)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (31, 20)).save(tmp_path / 'a.jpg', exif=exif, progressive=True)
    data = (tmp_path / 'a.jpg').read_bytes()
    assert header_size(data) == (20, 31)
    assert header_size(b'GIF89a' + bytes(30)) is None
    # an EXIF rotation is not applied: label files have none
    assert decode_image(data, 'a').shape == (20, 31, 3)


@pytest.mark.parametrize(
    'size, wanted, factor',
    [
        ((480, 640), (256, 256), 1),
        ((512, 640), (256, 256), 2),
        ((2048, 2100), (256, 256), 8),
        ((1024, 2100), (256, 256), 4),
        ((100, 100), (256, 256), 1),
    ],
)
def test_reduction_keeps_both_sides_large_enough(size, wanted, factor):
    assert reduction(size, wanted) == factor


def test_reduced_decoding_halves_the_size(tmp_path, files):
    files.jpg(tmp_path / 'a.jpg', (64, 96))
    data = (tmp_path / 'a.jpg').read_bytes()
    full, half = decode_image(data, 'a'), decode_image(data, 'a', 2)
    assert half.shape == (32, 48, 3)
    mean = full.reshape(32, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(half - mean).mean() < 3


@pytest.mark.parametrize('kind, read', [('jpg', decode_image), ('png', decode_ids)])
@pytest.mark.parametrize('share', [0.15, 0.5, 0.9, 0.99])
def test_truncated_file_is_named(stored, kind, read, share):
    data = stored[kind]
    with pytest.raises(CorruptFileError, match=r'cannot decode x/cut .*truncated or damaged'):
        read(data[: int(share * len(data))], 'x/cut')


def _damage(data, kind, start):
    """Damage a file behind ``start`` without making it shorter."""
    half = (start + len(data)) // 2
    return dict(
        zeros_to_the_end=data[:half] + bytes(len(data) - half),
        hole=data[:half] + bytes(50) + data[half + 50 :],
        one_bit=data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :],
        middle_gone=data[:half] + data[-12:],
    )[kind]


@pytest.mark.parametrize('kind', ['zeros_to_the_end', 'hole', 'one_bit', 'middle_gone'])
@pytest.mark.parametrize('read', [decode_ids, decode_image])
def test_png_that_differs_from_its_checksums_is_named(stored, kind, read):
    with pytest.raises(CorruptFileError, match=r'a\.png \((wrong|it ends)'):
        read(_damage(stored['png'], kind, 50), 'a.png')


@pytest.mark.parametrize('reduce', [1, 8])
def test_jpeg_filled_with_zeros_by_a_broken_copy_is_named(stored, reduce):
    data = stored['jpg']
    data = _damage(data, 'zeros_to_the_end', data.index(b'\xff\xda'))
    with pytest.raises(CorruptFileError, match=r'cannot decode a\.jpg'):
        decode_image(data, 'a.jpg', reduce)


def test_end_mark_of_a_thumbnail_does_not_count(stored):
    data = stored['jpg']
    part = b'\xff\xe1' + (2 + len(data)).to_bytes(2, 'big') + data
    whole = data[:2] + part + data[2:]
    assert decode_image(whole, 'a').shape == (64, 64, 3)
    assert header_size(whole) == (64, 64)
    assert decode_image(whole + b'trailer of a camera', 'a').shape == (64, 64, 3)
    with pytest.raises(CorruptFileError):
        decode_image(whole[:-200], 'a')


@pytest.mark.parametrize('read', [decode_ids, decode_image])
def test_header_that_asks_for_too_much_memory_is_named(files, read):
    data = files.raw_png((100000, 100000), 8, bytes(9))
    with pytest.raises(CorruptFileError, match=r'cannot decode g\.png'):
        read(data, 'g.png')


old_pillow = pytest.mark.skipif(
    int(PIL.__version__.split('.')[0]) < 13,
    reason='Pillow 12, the last for Python 3.10, cannot read the YCbCr TIFF that it writes',
)


@pytest.mark.parametrize('mode', ['CMYK', pytest.param('YCbCr', marks=old_pillow)])
def test_other_color_spaces_become_rgb(tmp_path, mode):
    picture = Image.new('RGB', (4, 4), (255, 255, 255)).convert(mode)
    picture.save(tmp_path / 'a.tif')
    ids = decode_ids((tmp_path / 'a.tif').read_bytes(), 'a')
    assert ids.shape == (4, 4, 3) and (ids == 255).all()


def test_text_empty_and_missing_files_are_named(tmp_path):
    with pytest.raises(CorruptFileError, match='cannot decode x.jpg'):
        decode_image(b'404 not found', 'x.jpg')
    (tmp_path / 'a.png').write_bytes(b'')
    with pytest.raises(CorruptFileError, match=r'a\.png is empty'):
        read_bytes(str(tmp_path / 'a.png'))
    with pytest.raises(CorruptFileError, match=r'cannot read .*b\.png: No'):
        read_bytes(str(tmp_path / 'b.png'))


def test_jpeg_of_ids_is_refused(stored):
    opened = open_source(Image.open(io.BytesIO(stored['jpg'])), 'b')
    for jpeg in (stored['jpg'], opened):
        with pytest.raises(DataError, match=r'a\.jpg is a JPEG, expected a PNG or TIFF of ids'):
            decode_ids(jpeg, 'a.jpg')
    with pytest.raises(CorruptFileError):  # truncated comes first
        decode_ids(stored['jpg'][:-60], 'a.jpg')


def test_id24_adds_up_the_channels():
    color = np.uint8([[[1, 2, 3], [255, 0, 0]]])
    assert id24(color).tolist() == [[1 + 512 + 3 * 65536, 255]]
    alpha = np.uint8([[[1, 0, 0, 2], [1, 0, 0, 255]]])
    assert id24(alpha)[0, 0] == 1 + (2 << 24)


RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8).repeat(8, 0).repeat(8, 1)
GREY = RGB[..., 1]
COLOR = Image.fromarray(RGB)
FILES = {
    'grey.png': Image.fromarray(GREY),
    'grey16.png': GREY.astype(np.uint16) * 257,
    'grey16.tif': GREY.astype(np.uint16) * 257,
    'color16.png': RGB.astype(np.uint16) * 257,
    'unit.tif': (GREY / 255).astype(np.float32),
    'float.tif': GREY.astype(np.float32),
    'int.tif': GREY.astype(np.int32),
    'la.png': Image.fromarray(GREY).convert('LA'),
    'rgba.png': Image.merge('RGBA', [*COLOR.split(), Image.fromarray(GREY)]),
    'rgba.tif': Image.merge('RGBA', [*COLOR.split(), Image.fromarray(GREY)]),
    'cmyk.tif': COLOR.convert('CMYK'),
    'cmyk.jpg': COLOR.convert('CMYK'),
    'color.jpg': COLOR,
    'palette.png': COLOR.quantize(256),
    'color.webp': COLOR,
}


@pytest.mark.parametrize('orientation', [1, 6])
@pytest.mark.parametrize('name', FILES)
def test_image_of_any_kind_is_the_same_from_every_source(tmp_path, name, orientation):
    """Pillow 1108, gradio 2849: 16 bits became white; stylegan2-pytorch 108: LA has 2 channels."""
    content, path = FILES[name], tmp_path / name
    if name == 'color16.png':
        assert cv2.imwrite(str(path), content[..., ::-1])
        orientation = 1
    else:
        image = Image.fromarray(content) if isinstance(content, np.ndarray) else content
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = dict(jpg=dict(quality=98, subsampling=0), webp=dict(lossless=True))
        image.save(path, exif=exif, **options.get(name.split('.')[1], {}))
    shown = np.rot90(RGB, -1) if orientation == 6 else RGB
    if not name.startswith(('color', 'rgba', 'cmyk', 'palette')):
        shown = shown[..., 1:2].repeat(3, 2)
    found = read_image(path, 'a')
    assert found.dtype == np.uint8 and found.shape == shown.shape
    assert np.abs(found.astype(int) - shown).max() <= (12 if name.endswith('jpg') else 0)
    data = path.read_bytes()
    # Pillow 13 loses the orientation of some TIFFs that it maps from the disk
    for same in (str(path), data, Image.open(io.BytesIO(data))):
        np.testing.assert_array_equal(read_image(same, 'a'), found)
    # the loader's decoder turns nothing
    assert exif_orientation(data) == orientation
    assert decode_image(data, 'a').shape == RGB.shape


@pytest.mark.parametrize(
    'array, value',
    [
        (np.full((2, 2), 0x80FF, np.uint16), 0x80),
        (np.full((2, 2), 77, np.uint16), 0),
        (np.full((2, 2), 77, np.int64), 77),
        (np.full((2, 2), 0x80FF, '>u2'), 0x80),
        (np.full((2, 2, 4), 0.5), 128),
        (np.full((2, 2, 3), 77.4, np.float16), 77),
        (np.full((2, 2), True), 255),
    ],
)
def test_array_of_any_type_becomes_8_bits(array, value):
    found = read_image(array, 'a')
    assert found.dtype == np.uint8 and found.shape == (2, 2, 3) and (found == value).all()


@pytest.mark.parametrize('values', [[-1, 5], [0.0, 256.0], [0.0, np.nan], [0, 70000]])
def test_array_that_is_no_image_is_refused(values):
    with pytest.raises(DataError, match='a has values from .*expected an image of integers'):
        read_image(np.array([values]), 'a')


@pytest.mark.parametrize('value', [2.5, np.nan, 3e9])
def test_ids_that_are_not_whole_are_refused(tmp_path, value):
    image = Image.fromarray(np.float32([[1, value]]), 'F')
    image.save(tmp_path / 'a.tif')
    for source in (image, (tmp_path / 'a.tif').read_bytes()):
        with pytest.raises(DataError, match='b holds .*, expected whole ids; was the label map'):
            decode_ids(open_source(source, 'b'), 'b')
