"""Pictures from label maps, by the zoo's model."""

import contextlib
import copy
import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from slnp_mm.checkpoint import read_config
from slnp_mm.errors import SLNPError
from slnp_mm.inferencer import SLNPInferencer, find_labels

CAR = 8


@pytest.fixture(scope='module')
def zoo():
    return SLNPInferencer(device='cpu', show_progress=False)


@pytest.fixture(scope='module')
def label():
    """Sky over road, two cars on it, a building, an unlabelled bottom."""
    label = np.zeros((64, 64), np.uint8)
    label[30:], label[8:36, 4:20] = 4, 6
    label[40:52, 6:22] = label[40:52, 40:56] = CAR
    label[60:] = 255
    return label


@pytest.fixture(scope='module')
def first(zoo, label):
    return zoo(label, seed=5, num_samples=2)


def far(a, b):
    return np.abs(a.astype(int) - b).max()


def test_result_is_arrays_that_belong_together(zoo, label):
    result = zoo(label, return_stages=True, return_attention=True)
    (picture,), (one,) = result['visualization'], result['predictions']
    assert picture.dtype == np.uint8 and picture.shape == (64, 64, 3)
    assert (one['name'], one['seed']) == ('0', 0)
    np.testing.assert_array_equal(one['label'], label)
    assert [stage.shape[0] for stage in one['stages']] == [32, 64]
    np.testing.assert_array_equal(one['stages'][1], picture)
    np.testing.assert_array_equal(one['instances'], zoo.instances(label))
    # an instance's class is the label under it; a region's weights sum to 1
    inside = one['instances'] >= 0
    classes = one['instance_labels'][one['instances'][inside]]
    np.testing.assert_array_equal(classes, label[inside])
    assert one['attention'][0].shape == (16, 16, 5)
    np.testing.assert_allclose(one['attention'][0].sum(-1), 1, rtol=1e-5)


def test_datasamples_hold_the_same(zoo, label, first):
    result = zoo(label, True, seed=5)
    (sample,) = result['predictions']
    bgr = sample.fake_img.round().numpy().transpose(1, 2, 0)
    np.testing.assert_array_equal(bgr[..., ::-1], result['visualization'][0])
    assert far(first['visualization'][0], result['visualization'][0]) <= 1
    assert sample.metainfo['seed'] == 5 and 'attention' not in sample


def test_second_sample_is_the_first_of_the_next_seed(zoo, label, first):
    one, two = first['visualization']
    assert far(one, two) > 20
    again = zoo([label, label], seed=6, batch_size=1)
    np.testing.assert_array_equal(*again['visualization'])
    assert far(again['visualization'][0], two) <= 1  # batches sum in another order
    np.testing.assert_array_equal(
        again['predictions'][1]['noise'], first['predictions'][1]['noise']
    )


def test_noise_of_a_prediction_repeats_its_picture(zoo, label, first):
    noise = np.stack([one['noise'] for one in first['predictions']])
    again = zoo(label, noise=noise, num_samples=2)
    np.testing.assert_array_equal(again['visualization'], first['visualization'])
    assert again['predictions'][0]['seed'] is None
    mixed = zoo(label, noise=noise.mean(0))['visualization'][0]
    assert all(far(mixed, one) > 5 for one in first['visualization'])


def test_style_is_the_code_of_the_photograph(zoo, label, tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), photo[..., ::-1])
    found = zoo(label, style=photo)
    with torch.no_grad():
        image = torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1
        code = zoo.model.noise_prior.encode(image)[0][0]
    np.testing.assert_allclose(found['predictions'][0]['noise'], code, atol=1e-5)
    path = str(tmp_path / 'a.png')
    wide = photo.astype(np.uint16) << 8
    for same in (path, Path(path).read_bytes(), Image.fromarray(photo), wide, photo / 255):
        picture = zoo(label, style=same)['visualization'][0]
        np.testing.assert_array_equal(picture, found['visualization'][0])


def test_resample_changes_one_instance(zoo, label, first):
    ids = zoo.instances(label)
    left, right = ids[45, 10], ids[45, 45]
    assert left != right and (ids[label == CAR] >= 0).all()
    old = first['visualization'][0].astype(int)
    moved = np.abs(zoo(label, seed=5, resample={right: 6})['visualization'][0] - old).mean(-1)
    assert moved[ids == right].mean() > 5 * moved[ids != right].mean()
    same = zoo(label, seed=5, resample={left: 5, right: 5})['visualization'][0]
    assert far(same, old) <= 1


def test_truncation_moves_the_noise_to_the_mean_code(zoo, label):
    def codes(truncation):
        found = zoo(label, num_samples=2, truncation=truncation)['predictions']
        return np.stack([one['noise'] for one in found])

    mean = zoo.model.noise_prior
    mean = mean.encode(mean.decode(mean.code_mean.view(1, *mean.latent_shape)))[0]
    for code in codes(0):
        np.testing.assert_allclose(code, mean[0].detach(), atol=1e-5)
    spreads = [np.abs(np.diff(codes(t), axis=0)).mean() for t in (0.5, 1)]
    assert 0 < spreads[0] < 0.8 * spreads[1]
    one, other = zoo(label, num_samples=2, truncation=0)['visualization']
    assert far(one, other) <= 1


def test_threads_give_the_same_bit_for_bit(zoo, label):
    jobs = [dict(inputs=label, seed=s, resample={0: s} if s % 2 else None) for s in range(6)]
    alone = [zoo(**job)['visualization'][0] for job in jobs]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda job: zoo(**job)['visualization'][0], jobs))
    np.testing.assert_array_equal(alone, together)


def test_ids_palette_and_colors_are_one_label_map(zoo, label, tmp_path):
    table = np.zeros((256, 3), np.uint8)  # 255 is black
    table[: len(zoo.palette)] = zoo.palette
    colors = table[label]
    palette = Image.fromarray(label, 'P')
    palette.putpalette(table.tobytes())
    shuffled = Image.fromarray(255 - label, 'P')  # as an image editor orders its palette
    shuffled.putpalette(table[::-1].tobytes())
    palette.save(tmp_path / 'p.PNG')
    shuffled.save(tmp_path / 's.png')
    Image.fromarray(colors).save(tmp_path / 'c.png')
    Image.fromarray(label).save(tmp_path / 'g.TIFF')
    forms = [label, label.astype('>u2'), colors, palette, Image.fromarray(colors)]
    forms += [Image.fromarray(label).convert(mode) for mode in ('I', 'F', 'LA')]
    forms += [Image.fromarray(label.astype(np.uint16))]  # I;16
    forms += [palette.convert('PA'), Image.fromarray(colors).convert('CMYK')]
    forms += [(tmp_path / 'c.png').read_bytes(), (tmp_path / 'g.TIFF').read_bytes()]
    found = zoo([*forms, tmp_path / 's.png'])['predictions']
    found += zoo(str(tmp_path / '*'))['predictions']
    assert [one['name'] for one in found[-4:]] == ['c', 'g', 'p', 's']
    for one in found:
        np.testing.assert_array_equal(one['label'], label)


def test_palette_that_says_two_things_and_file_of_other_ids_are_refused(zoo, label, tmp_path):
    image = Image.fromarray(np.where(label == 255, 0, label).astype(np.uint8), 'P')
    image.putpalette(np.array(zoo.palette[::-1], np.uint8).tobytes())
    with pytest.raises(SLNPError, match='indices and colors name different classes'):
        zoo(image)
    cv2.imwrite(str(tmp_path / 'c.png'), np.full((16, 16), 77, np.uint8))
    with pytest.raises(SLNPError, match=r'c\.png: label id 77 '):
        zoo(tmp_path / 'c.png')


def test_instance_map_is_taken(zoo, label, tmp_path):
    # both cars are one object; the sky is two
    ids = np.where(label == CAR, 7, label.astype(np.int32) + 100)
    ids[:, 32:][label[:, 32:] == 0] = 3
    found = zoo.instances(label, ids)
    assert len(np.unique(found[label == CAR])) == 1
    assert found[2, 2] != found[2, 60]
    cv2.imwrite(str(tmp_path / 'ids.png'), ids.astype(np.uint16))
    np.testing.assert_array_equal(found, zoo.instances(label, tmp_path / 'ids.png'))
    image = Image.fromarray(ids.astype(np.int32))
    image.save(tmp_path / 'ids.tif')
    for same in (image, (tmp_path / 'ids.tif').read_bytes()):
        np.testing.assert_array_equal(zoo.instances(label, same), found)
    one = zoo([label], instances=[ids])['predictions'][0]
    np.testing.assert_array_equal(one['instances'], found)


def test_any_size_that_the_network_takes(zoo, label):
    assert zoo.image_size == (128, 128) and zoo.size_divisor == 16
    wide = np.tile(label, (1, 2))
    found = zoo([wide, label, label[:48]], batch_size=3)['visualization']
    assert [x.shape[:2] for x in found] == [(64, 128), (64, 64), (48, 64)]
    assert zoo(label[:50, :40], size=(48, 32))['visualization'][0].shape == (48, 32, 3)
    assert zoo(label[:50, :40], size='config')['visualization'][0].shape == (128, 128, 3)
    with pytest.raises(SLNPError, match='50 x 8 .*nearest are 48 x 16, 64 x 16; resize'):
        zoo(label[:50, :8])


@pytest.mark.parametrize(
    'arguments, text',
    [
        (dict(seed=1, style=np.zeros((8, 8, 3), np.uint8)), 'seed and style each set'),
        (dict(noise=np.zeros((2, 4, 4))), r'noise of shape \(16, 4, 4\), or 1 such.*\(2, 4, 4\)'),
        (dict(noise=np.zeros((16, 4, 4)), num_samples=3), '3 samples of one noise'),
        (dict(style=np.zeros((8, 8, 2))), r'style: expected an image .* float64 of shape \(8, 8'),
        (dict(style=np.zeros((0, 8, 3), np.uint8)), r'expected an image .* of shape \(0, 8, 3\)'),
        (dict(style=np.full((8, 8), 256.0)), 'style has values from 256.0 to 256.0, expected'),
        (dict(style=torch.zeros(8, 8, 3)), 'style must be a path, .* but is a Tensor'),
        (dict(style='nope.jpg'), 'cannot read nope.jpg: No such file'),
        # diffusers 6815, OminiControl 71: latents of NaN became a black image
        (dict(noise=np.full((16, 4, 4), np.nan)), 'noise must be finite'),
        (dict(noise='x'), "noise must be an array of numbers, but got 'x'"),
        (dict(resample={0: 1.5}), 'seed must be a whole number .* got 1.5'),
        (dict(size=0), "size must be one side, .* or 'config', but got 0"),
        (dict(size='64'), "but got '64'"),
        (dict(size=(64, 64, 3)), r'but got \(64, 64, 3\)'),
        (dict(truncation=None), 'truncation must be from 0 to 1, but got None'),
        (dict(num_samples=2.0), 'whole numbers .* at least 1, but got 2.0 and 8'),
        (dict(resample={5: 0}), 'no instance 5 to resample: the label map has 5, 0..4'),
        (dict(instances=[]), r'one instance map per label map \(1\), but got 0'),
        (dict(instances='nope.png'), 'no instance map at nope.png'),
        (dict(instances=np.zeros((3, 4), int)), 'the id map is 4x3, but its label is 64x64'),
        (dict(truncation=2), 'truncation must be from 0 to 1, but got 2'),
        (dict(truncation=0.5, noise=np.zeros((16, 4, 4))), 'truncation is for the noise of seeds'),
        (dict(num_samples=0), 'of at least 1, but got 0 and 8'),
        (dict(inputs=[]), 'at least one label map'),
        (dict(inputs=[np.eye(64, dtype=int)] * 2, resample={0: 1}), 'for one label map, but got 2'),
        (dict(inputs=3), 'label map 0 must be a path, .* but is a int'),
        (dict(inputs=np.full((16, 16), 77)), r'classes 0..9 and 255 = unlabelled, but got 77'),
        (dict(inputs='nope/*.png'), 'no label map at nope/'),
    ],
)
def test_what_does_not_fit_is_one_sentence(zoo, label, arguments, text):
    with pytest.raises(SLNPError, match=text):
        zoo(**{'inputs': label, **arguments})


@pytest.mark.parametrize('seed', [2**32, 10**20, -1, True, 3.0, '3', [1]])
def test_seed_that_is_none_is_one_sentence(zoo, label, seed):
    with pytest.raises(SLNPError) as error:
        zoo(label, seed=seed)
    assert str(error.value) == f'seed must be a whole number from 0 to 4294967295, but got {seed!r}'


def test_integers_of_numpy_are_integers(zoo, label, first):
    found = zoo(
        label,
        seed=np.uint8(5),
        num_samples=np.int64(2),
        size=np.int32(64),
        resample={np.int16(0): np.int64(5)},
    )
    assert [one['seed'] for one in found['predictions']] == [5, 6]
    assert far(found['visualization'][0], first['visualization'][0]) <= 1
    assert zoo(label, seed=2**32 - 1)['predictions'][0]['seed'] == 2**32 - 1
    with pytest.raises(SLNPError, match='from 0 to 4294967294, but got 4294967295'):
        zoo(label, seed=2**32 - 1, num_samples=2)  # the second would be beyond


@contextlib.contextmanager
def surroundings(dtype=torch.float32, device='cpu'):
    """What another library in the notebook may have set."""
    torch.set_default_dtype(dtype)
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


@pytest.mark.parametrize(
    'around',
    [
        lambda: surroundings(dtype=torch.float64),
        # diffusers 6501, pytorch 62152: the default device is another one
        lambda: surroundings(device='meta'),
        # surya 290, sdnext 4396: "Got unsupported ScalarType BFloat16"
        lambda: torch.autocast('cpu', dtype=torch.bfloat16),
        torch.inference_mode,
    ],
    ids=['float64', 'device', 'autocast', 'inference_mode'],
)
def test_surroundings_change_no_bit(zoo, label, around):
    photo = np.random.default_rng(0).integers(0, 256, (96, 80, 3), np.uint8)
    noise = np.random.default_rng(1).normal(size=(16, 4, 4))
    calls = [dict(seed=3, truncation=0.7), dict(seed=3, resample={0: 5}), dict(style=photo)]
    calls += [dict(noise=noise)]
    expected = [zoo(label, **call)['visualization'][0] for call in calls]
    with around():
        for model in (zoo, SLNPInferencer(device='cpu', show_progress=False)):
            found = [model(label, **call)['visualization'][0] for call in calls]
            np.testing.assert_array_equal(found, expected)


def test_random_numbers_of_the_caller_go_on_as_they_would(zoo, label):
    """pytorch-lightning 20204: loading a model changed them."""
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    SLNPInferencer(device='cpu', show_progress=False)(label)
    assert states[0].equal(torch.get_rng_state())
    np.testing.assert_array_equal(states[1], np.random.get_state()[1])


def test_noise_may_be_any_array_of_these_numbers(zoo, label, first):
    """face-alignment 259, modelscope 951: "At least one stride ... is negative"."""
    noise = first['predictions'][0]['noise']
    mirrored = np.ascontiguousarray(noise[..., ::-1])
    same = [mirrored[..., ::-1], noise.astype('>f4'), noise.tolist(), noise.astype(np.float64)]
    for one in [*same, torch.tensor(noise, requires_grad=True)]:
        found = zoo(label, noise=one)
        np.testing.assert_array_equal(found['predictions'][0]['noise'], noise)
        assert far(found['visualization'][0], first['visualization'][0]) <= 1


@pytest.mark.parametrize('key', ['inputs', 'style', 'instances'])
def test_closed_or_cut_pil_image_is_one_sentence(zoo, label, key, tmp_path):
    """qapyq 28: "Operation on closed image"."""
    Image.fromarray(label).save(tmp_path / 'a.png')
    with Image.open(tmp_path / 'a.png') as closed:
        pass
    cut = Image.open(io.BytesIO((tmp_path / 'a.png').read_bytes()[:-80]))
    for image in (closed, cut):
        with pytest.raises(SLNPError, match='is a PIL image without pixels .*call its load'):
            zoo(**{'inputs': label, key: image})


def test_out_dir_gets_the_pictures(zoo, label, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), label)
    found = zoo([tmp_path / 'a.png'], num_samples=2, out_dir=tmp_path / 'out')
    written = sorted((tmp_path / 'out').iterdir())
    assert [path.name for path in written] == ['a_0.png', 'a_1.png']
    np.testing.assert_array_equal(np.asarray(Image.open(written[1])), found['visualization'][1])
    with pytest.raises(SLNPError, match='two label maps are named a: '):
        zoo([tmp_path / 'a.png'] * 2, out_dir=tmp_path / 'out')


def test_several_batches_show_a_bar(zoo, label, capsys, monkeypatch):
    monkeypatch.setattr(zoo, 'show_progress', True)
    zoo(label)
    assert capsys.readouterr().out == ''
    zoo(label, num_samples=2, batch_size=1)
    assert 'Generating' in capsys.readouterr().out


def test_find_labels_takes_a_file_a_tree_or_a_glob(tmp_path):
    for name in ('b.png', 'sub/a.PNG', 'sub/c.TIFF', 'sub/d.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    file = str(tmp_path / 'b.png')
    assert find_labels(file) == [(file, 'b')]
    assert [name for _, name in find_labels(str(tmp_path))] == ['b', 'sub/a', 'sub/c']
    assert [name for _, name in find_labels(f'{tmp_path}/sub/*')] == ['a', 'c']
    assert [name for _, name in find_labels(f'{tmp_path}/**/*.[pP]*')] == ['b', 'sub/a']


def test_config_and_checkpoint_must_fit(zoo, repository, tmp_path):
    with pytest.raises(SLNPError, match='is not the config of a GAN'):
        SLNPInferencer('configs/noise_prior_toy.py', zoo.checkpoint)
    with pytest.raises(SLNPError, match='does not fit this config'):
        SLNPInferencer('configs/slnp_toy.py', zoo.checkpoint)
    with pytest.raises(SLNPError, match='a config needs its checkpoint'):
        SLNPInferencer('configs/slnp_toy.py')
    with pytest.raises(SLNPError, match='no checkpoint at .*last_checkpoint'):
        SLNPInferencer(checkpoint=tmp_path)


def test_class_list_in_another_order_is_refused(zoo, label):
    """mmdetection 10675, 8305: each class was drawn as another."""
    cfg = copy.deepcopy(zoo.cfg)
    classes = list(zoo.classes)
    classes[4], classes[6] = classes[6], classes[4]
    cfg.test_dataloader.dataset.metainfo = dict(classes=classes)
    names = f'4 is {zoo.classes[4]} in the checkpoint, {zoo.classes[6]} in the config; 6 is '
    with pytest.raises(SLNPError, match=names):
        SLNPInferencer(cfg, zoo.checkpoint)


def test_parts_of_a_joined_set_must_be_written_alike(zoo):
    cfg = zoo.cfg.copy()
    part = cfg.test_dataloader.dataset
    other = dict(part, label=dict(unlabelled_ids=(0,)))
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[part, other])
    with pytest.raises(SLNPError, match='differ in label'):
        SLNPInferencer(cfg, zoo.checkpoint)


@pytest.mark.parametrize(
    'text', ['a = open("x")', 'import os', 'a = [i for i in b]', 'a = b.c', 'a = dict(b=c())']
)
def test_config_in_a_checkpoint_is_not_run_if_it_is_code(text, tmp_path):
    torch.save(dict(meta=dict(cfg=f'x = 1\n{text}')), tmp_path / 'a.pth')
    with pytest.raises(SLNPError, match=re.escape('holds code besides values (line 2)')):
        read_config(tmp_path / 'a.pth')


def test_documented_calls_run_as_written(repository):
    text = (Path('docs') / 'inference.md').read_text()
    (code,) = re.findall(r'```python\n(.*?)```', text, re.S)
    names = {}
    exec(code, names)
    assert names['ids'][90, 80] == names['car'] and len(names['result']['visualization']) == 4
