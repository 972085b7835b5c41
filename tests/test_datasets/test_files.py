import numpy as np
import PIL
import pytest
from PIL import Image

from slnp_mm.datasets.files import (
    decode_ids,
    decode_image,
    header_size,
    id24,
    read_bytes,
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


def test_decode_image_is_bgr(tmp_path):
    Image.new('RGB', (4, 4), (250, 10, 20)).save(tmp_path / 'a.png')
    image = decode_image((tmp_path / 'a.png').read_bytes(), 'a')
    assert image[0, 0].tolist() == [20, 10, 250]


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


def test_ids_of_32_bits_come_from_tiff(tmp_path):
    ids = np.int32([[0, 70000], [2**31 - 1, 5]])
    Image.fromarray(ids, 'I').save(tmp_path / 'a.tif')
    found = decode_ids((tmp_path / 'a.tif').read_bytes(), 'a')
    assert found.tolist() == ids.tolist()


def test_jpeg_of_ids_is_refused(stored):
    with pytest.raises(DataError, match=r'a\.jpg is a JPEG, expected a PNG'):
        decode_ids(stored['jpg'], 'a.jpg')
    with pytest.raises(CorruptFileError):  # truncated comes first
        decode_ids(stored['jpg'][:-60], 'a.jpg')


def test_id24_adds_up_the_channels():
    color = np.uint8([[[1, 2, 3], [255, 0, 0]]])
    assert id24(color).tolist() == [[1 + 512 + 3 * 65536, 255]]
    alpha = np.uint8([[[1, 0, 0, 2], [1, 0, 0, 255]]])
    assert id24(alpha)[0, 0] == 1 + (2 << 24)
