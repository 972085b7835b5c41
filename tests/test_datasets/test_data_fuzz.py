"""Whatever files come: the contract holds, or a named error is raised."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from slnp_mm.datasets import (
    DataError,
    SLNPCrop,
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
    top = {1: 1, 8: 255, 16: 65535, 32: 2**31 - 1}[bits]
    kind = {1: bool, 8: np.uint8, 16: np.uint16, 32: np.int32}[bits]
    few = st.integers(0, min(top, 4))
    values = few | st.sampled_from([min(255, top), top]) | st.integers(0, top)
    if bits == 1:
        return arrays(bool, shape)
    return st.one_of(arrays(kind, shape, elements=few), arrays(kind, shape, elements=values))


def _save(path, array, mode):
    if mode == 'palette':
        image = Image.fromarray(array.astype(np.uint8), 'P')
        image.putpalette(list(range(256)) * 3)
    elif mode == 'rgb':
        image = Image.fromarray(np.repeat(array.astype(np.uint8)[..., None], 3, 2))
    elif mode == 'rgba':
        image = Image.fromarray(np.repeat(array.astype(np.uint8)[..., None], 4, 2), 'RGBA')
    elif mode == 'la':
        image = Image.fromarray(array.astype(np.uint8)).convert('LA')
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
        decode=draw(st.sampled_from([None, 1, 4, 12])),
        label=draw(_ids(other, bits)),
        bits=bits,
        mode=draw(st.sampled_from(['plain', 'plain', 'palette', 'rgb', 'rgba', 'la'])),
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
        crop=draw(st.none() | SHAPES),
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
        SLNPLoadImage(sample['decode']),
        SLNPLoadLabel(),
        SLNPLoadInstances(sample['slots'], sample['layers']),
        SLNPResize(sample['size']),
        SLNPFlip(),
        SLNPPackInputs(),
    ]
    if sample['crop']:
        steps.insert(4, SLNPCrop(sample['crop']))
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


def _assert_contract(inputs, sample):
    size = tuple(sample['crop'] or sample['size'])
    label, ids = inputs['label'], inputs['instances']
    kinds = inputs['instance_labels']
    assert inputs['img'].shape == (3, *size)
    assert inputs['img'].dtype == torch.uint8
    assert label.shape == (1, *size) and label.dtype == torch.uint8
    assert (((label >= 0) & (label < 5)) | (label == 255)).all()
    assert ids.shape == (sample['layers'], *size)
    assert ids.dtype == kinds.dtype == torch.int16
    assert kinds.shape == (sample['slots'],)
    assert ids.min() >= -1 and ids.max() < sample['slots']
    assert ((ids >= 0).any(0) | (label[0] == 255)).all()
    used = (kinds >= 0).sum()
    assert (kinds[:used] < 5).all() and (kinds[used:] == -1).all()
    area = torch.stack([(ids == i).any(0).sum() for i in range(used)] + [torch.tensor(0)])
    assert (area[:-1] > 0).all() and (area[:-1] >= area[1:]).all()


@given(samples())
@SETTINGS
def test_contract_holds_or_a_named_error_is_raised(sample):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root, sample)
        try:
            _assert_contract(_read(root, sample), sample)
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
