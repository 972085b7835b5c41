"""Whatever files come: the contract holds, or a named error is raised."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from slnp_mm.datasets import (
    DataError,
    SLNPDataset,
    SLNPFlip,
    SLNPLoadImage,
    SLNPLoadInstances,
    SLNPLoadLabel,
    SLNPPackInputs,
    SLNPResize,
)

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))
SETTINGS = settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def _ids(shape, bits):
    if bits == 1:
        return arrays(bool, shape)
    kind = {8: np.uint8, 16: np.uint16, 32: np.int32}[bits]
    top = int(np.iinfo(kind).max)
    few = st.integers(0, 4)
    values = few | st.sampled_from([255, top]) | st.integers(0, top)
    return st.one_of(arrays(kind, shape, elements=few), arrays(kind, shape, elements=values))


def _save(path, array, mode):
    grey = array.astype(np.uint8)
    if mode == 'palette':
        image = Image.fromarray(grey, 'P')
        image.putpalette(list(range(256)) * 3)
    elif mode == 'rgba':
        image = Image.fromarray(np.repeat(grey[..., None], 4, 2), 'RGBA')
    elif mode in ('RGB', 'LA'):
        image = Image.fromarray(grey).convert(mode)
    else:
        image = Image.fromarray(array)
    image.save(path)


@st.composite
def samples(draw):
    """Files of one sample and the settings to read them with."""
    shape = draw(SHAPES)
    other = draw(st.just(shape) | st.just(shape) | SHAPES)
    bits = draw(st.sampled_from([1, 8, 8, 8, 16, 32]))
    rules = draw(
        st.sampled_from(
            [
                {},
                {},
                dict(reduce_zero_label=True),
                dict(unlabelled_ids=(0,)),
                dict(label_map={i: i % 5 for i in range(200)}),
                dict(colors=[[i, i, i] for i in range(5)]),
            ]
        )
    )
    return dict(
        image=draw(arrays(np.uint8, (*shape, 3))),
        kind=draw(st.sampled_from(['png', 'jpg', 'bmp'])),
        label=draw(_ids(other, bits)),
        bits=bits,
        mode=draw(st.sampled_from(['plain', 'plain', 'palette', 'RGB', 'rgba', 'LA'])),
        ids=draw(
            st.none() | _ids(draw(st.just(other) | SHAPES), draw(st.sampled_from([8, 16, 32])))
        ),
        rules=rules,
        source=draw(st.sampled_from([{}, dict(background_ids=(0, 255)), dict(background_below=3)])),
        cut=draw(
            st.none()
            | st.none()
            | st.tuples(st.sampled_from(['i.png', 'l.tif', 'n.tif']), st.floats(0, 0.99))
        ),
        slots=draw(st.integers(1, 8) | st.just(200)),
        layers=draw(st.integers(1, 3)),
        size=draw(SHAPES),
    )


def _write(root, sample):
    for name in ('images', 'labels', 'inst'):
        (root / name).mkdir()
    Image.fromarray(sample['image']).save(root / f'images/x.{sample["kind"]}')
    plain = sample['bits'] in (16, 32) and sample['mode'] == 'plain'
    suffix = 'tif' if plain and sample['bits'] == 32 else 'png'
    _save(root / f'labels/x.{suffix}', sample['label'], sample['mode'])
    if sample['ids'] is not None:
        tif = sample['ids'].dtype == np.int32
        _save(root / f'inst/x.{"tif" if tif else "png"}', sample['ids'], '')
    if sample['cut']:
        folder = dict(i='images', l='labels', n='inst')[sample['cut'][0][0]]
        for path in (root / folder).iterdir():
            data = path.read_bytes()
            path.write_bytes(data[: int(sample['cut'][1] * len(data))])


def _read(root, sample):
    steps = [
        SLNPLoadImage(),
        SLNPLoadLabel(),
        SLNPLoadInstances(sample['slots'], sample['layers']),
        SLNPResize(sample['size']),
        SLNPFlip(),
        SLNPPackInputs(),
    ]
    dataset = SLNPDataset(
        str(root),
        pipeline=steps,
        metainfo=dict(classes=tuple('abcde')),
        label=sample['rules'],
        instance=sample['source'],
        img_suffix=('.png', '.jpg', '.bmp'),
        label_suffix=('.png', '.tif'),
        instance_suffix=('.png', '.tif'),
        data_prefix=dict(instance='inst' if sample['ids'] is not None else ''),
        serialize_data=False,  # mmengine collects garbage after it: slow
    )
    return dataset[0]['inputs']


@given(samples())
@SETTINGS
def test_contract_holds_or_a_named_error_is_raised(assert_contract, sample):
    size = sample['size']
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root, sample)
        try:
            assert_contract(_read(root, sample), 5, size, sample['slots'], sample['layers'])
        except DataError as error:
            assert len(str(error)) > 20


@given(
    st.binary(max_size=300),
    st.sampled_from(
        [
            b'',
            b'\xff\xd8',
            b'\xff\xd8\xff\xe0\x00\x10JFIF',
            b'\x89PNG\r\n\x1a\n',
            b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR',
            b'GIF89a',
            b'II*\0',
        ]
    ),
)
@SETTINGS
def test_random_bytes_end_in_a_named_error(data, start):
    from slnp_mm.datasets.files import decode_ids, decode_image, header_size

    header_size(start + data)
    for read in (decode_image, decode_ids):
        try:
            read(start + data, 'x.jpg')
        except DataError as error:
            assert 'x.jpg' in str(error)
