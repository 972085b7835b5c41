"""tools/generate.py with the zoo's model, and tools/publish.py, which makes such a file."""

import hashlib
import zlib

import cv2
import numpy as np
import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from PIL import Image

from slnp_mm.checkpoint import read_config
from slnp_mm.errors import SLNPError
from slnp_mm.inferencer import SLNPInferencer
from slnp_mm.zoo import FOLDER, zoo_checkpoint, zoo_models


@pytest.fixture
def labels(tmp_path):
    """Two label maps, one below, in capitals and not square."""
    label = np.zeros((40, 30), np.uint8)
    label[10:, :20], label[30:] = 3, 255
    (tmp_path / 'labels/sub').mkdir(parents=True)
    cv2.imwrite(str(tmp_path / 'labels/sub/a.PNG'), label)
    cv2.imwrite(str(tmp_path / 'labels/b.tif'), label.T)
    return tmp_path / 'labels'


def test_broken_run_goes_on(use, labels, tmp_path, capsys):
    out = tmp_path / 'out'
    words = ['--labels', labels, '--out', out, '--num-noises', 2, '--device', 'cpu']
    assert use('generate', *words) == 0
    said = capsys.readouterr().out
    assert '4/4 images' in said and 'already' not in said
    files = sorted(out.rglob('*.png'))
    names = ['b_0.png', 'b_1.png', 'sub/a_0.png', 'sub/a_1.png']
    assert [str(file.relative_to(out)) for file in files] == names
    pictures = {file: np.asarray(Image.open(file)) for file in files}
    model = SLNPInferencer(device='cpu', show_progress=False)
    expected = model(labels / 'b.tif', num_samples=2, size='config')['visualization']
    for file, picture in zip(files, expected):
        assert picture.shape == (128, 128, 3)
        assert np.abs(pictures[file].astype(int) - picture).max() <= 1

    # one is lost: only its label map is done again
    files[3].unlink()
    before = [file.stat().st_mtime_ns for file in files[:2]]
    assert use('generate', *words) == 0
    said = capsys.readouterr().out
    assert '2 images already exist' in said and '2/2 images' in said
    assert before == [file.stat().st_mtime_ns for file in files[:2]]

    # another seed or a newer label map makes them old
    assert use('generate', *words, '--seed', 1) == 0
    assert '4/4 images' in capsys.readouterr().out
    np.testing.assert_allclose(
        np.asarray(Image.open(files[0])).astype(int), pictures[files[1]], atol=1
    )
    (labels / 'b.tif').touch()
    assert use('generate', *words, '--seed', 1) == 0
    assert '2 images already exist' in capsys.readouterr().out


def test_images_for_training_have_their_label_maps(use, labels, tmp_path, capsys):
    words = ['--labels', labels, '--num-noises', 2, '--device', 'cpu', '--for-training']
    assert use('generate', *words, '--out', tmp_path / 'plain') == 0
    assert use('generate', *words, '--out', tmp_path / 'warped', '--warp') == 0
    model = SLNPInferencer(device='cpu', show_progress=False)
    names = ['b_0.png', 'b_1.png', 'sub/a_0.png', 'sub/a_1.png']
    found = {}
    for out in ('plain', 'warped'):
        for folder in ('img_dir', 'ann_dir'):
            files = sorted((tmp_path / out / folder).rglob('*.png'))
            assert [str(file.relative_to(tmp_path / out / folder)) for file in files] == names
            found[out, folder] = [np.asarray(Image.open(file)) for file in files]
    plain, warped = found['plain', 'ann_dir'], found['warped', 'ann_dir']
    assert plain[0].shape == (128, 128) and set(np.unique(plain[0])) == {0, 3, 255}
    np.testing.assert_array_equal(plain[0], plain[1])
    assert (warped[0] != plain[0]).any() and (warped[0] != warped[1]).any()
    # the image of a written label map, under noise of its own
    for out in ('plain', 'warped'):
        for k, name in enumerate(names):
            label, image = (found[out, folder][k] for folder in ('ann_dir', 'img_dir'))
            seed = zlib.crc32(name.rpartition('_')[0].encode()) + k % 2
            (expected,) = model(label, seed=seed)['visualization']
            assert np.abs(image.astype(int) - expected).max() <= 1

    # one is lost: the same again
    (tmp_path / 'warped/ann_dir/b_1.png').unlink()
    assert use('generate', *words, '--out', tmp_path / 'warped', '--warp') == 0
    again = np.asarray(Image.open(tmp_path / 'warped/ann_dir/b_1.png'))
    np.testing.assert_array_equal(again, warped[1])

    capsys.readouterr()
    assert use('generate', *words[:-1], '--out', tmp_path / 'x', '--warp') == 1
    assert 'add --for-training' in capsys.readouterr().err


def test_warp_moves_all_maps_alike():
    from _warp import warp

    label = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
    ids = label.astype(np.int32) * 1000
    new, moved, none = warp(np.random.default_rng(0), label, ids, None)
    assert none is None and new.shape == label.shape and new.dtype == label.dtype
    np.testing.assert_array_equal(new.astype(np.int32) * 1000, moved)
    # the middle comes from within the shift and the bend, 14 % of a side, of the middle
    row, col = divmod(int(new[32, 24]), 48)
    assert abs(row - 32) <= 0.14 * 64 + 1 and abs(col - 24) <= 0.14 * 48 + 1


def test_attention_sheet_and_comparison(use, labels, tmp_path):
    words = ['--labels', f'{labels}/**/*', '--out', tmp_path / 'out', '--device', 'cpu']
    more = ['--attention', tmp_path / 'attention', '--sheet', tmp_path / 'sheet.png']
    more += ['--compare', zoo_checkpoint('toyscenes'), '--model', 'toyscenes']
    assert use('generate', *words, *more) == 0
    names = ['b.png', 'sub/a.png']
    for folder in ('out', 'attention'):
        found = sorted((tmp_path / folder).rglob('*.png'))
        assert [str(file.relative_to(tmp_path / folder)) for file in found] == names
    # label, two stages, attention under their titles
    row = np.asarray(Image.open(tmp_path / 'attention/b.png'))
    assert row.shape == (20 + 4 + 132, 4 + 4 * 132, 3)
    # label, first, second: one model, so the last two are alike
    sheet = np.asarray(Image.open(tmp_path / 'sheet.png'))
    assert sheet.shape == (20 + 4 + 2 * 132, 4 + 3 * 132, 3)
    first, second = (sheet[24:152, 4 + 132 * i :][:, :128] for i in (1, 2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, np.asarray(Image.open(tmp_path / 'out/b.png')))


@pytest.mark.parametrize(
    'words, text',
    [
        (['c.py'], 'give a config and its checkpoint, or neither'),
        (['c.py', 'c.pth', '--model', 'nyuv2'], '--model nyuv2 is a model of the zoo: leave out'),
        (['--cfg-options', 'a=1'], '--cfg-options needs a config'),
        (['--compare', 'a.pth'], '--compare needs a sheet to show its images on'),
        (['--sheet', 'a.jpg'], '--sheet must end in .png, but got a.jpg'),
        (['--labels', 'nope*'], r'no label map at nope*: give a file'),
        (['--instances', 'nope'], 'no folder of instance maps at nope'),
    ],
)
def test_what_does_not_fit_is_said_first(use, words, text, labels, tmp_path, capsys):
    assert use('generate', '--labels', labels, '--out', tmp_path / 'out', *words) == 1
    assert text in capsys.readouterr().err


@pytest.mark.parametrize('seed', ['-1', '4294967296', '1' * 20, '3.5', 'x'])
def test_seed_that_is_none_is_a_usage_error(use, labels, tmp_path, capsys, seed):
    assert use('generate', '--labels', labels, '--out', tmp_path, f'--seed={seed}') == 2
    said = capsys.readouterr().err
    assert 'must be a whole number from 0 to 4294967295, but got' in said and seed in said


@pytest.mark.parametrize('seed', ['4294967296', '3.5', 'True', 'x'])
def test_seed_of_a_training_is_checked(use, repository, tmp_path, capsys, seed):
    words = ['--work-dir', tmp_path, '--cfg-options', f'randomness.seed={seed}']
    assert use('train', 'configs/slnp_toy.py', *words) == 1
    said = capsys.readouterr().err
    assert said.startswith('error: randomness.seed must be a whole number from 0 to ')
    assert seed in said and 'Traceback' not in said and not list(tmp_path.iterdir())


def test_published_file_gives_the_pictures(use, tiny, repository, tmp_path, capsys):
    cfg = Config.fromfile('configs/slnp_toy.py')
    tiny.narrow(cfg.model)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for value in model.generator_ema.parameters():
        value.data.mul_(1.1)
    meta = dict(cfg=cfg.pretty_text, iter=7, time='today')
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'iter_7.pth')

    assert use('publish', tmp_path / 'iter_7.pth', tmp_path / 'small') == 0
    (place,) = tmp_path.glob('small-*.pth')
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    assert place.stem == f'small-{digest[:8]}' and digest in capsys.readouterr().out
    stored = torch.load(place, weights_only=True)
    assert set(stored) == {'meta', 'state_dict'}
    assert set(stored['meta']) == {'cfg', 'dataset_meta', 'iter'}
    assert {key.split('.')[0] for key in stored['state_dict']} == {'generator', 'noise_prior'}
    weight = stored['state_dict']['generator.global_generator.to_rgb.weight']
    assert weight.equal(model.generator_ema.module.global_generator.to_rgb.weight.half())

    label = np.random.default_rng(0).integers(0, 10, (64, 64)).repeat(2, 0).repeat(2, 1)
    pictures = [
        SLNPInferencer(*words, device='cpu')(label)['visualization'][0].astype(int)
        for words in ((cfg, tmp_path / 'iter_7.pth'), (None, place))
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_value_too_large_for_half_precision_is_refused(use, tiny, repository, tmp_path, capsys):
    text = 'model = dict(a=1)\ntest_dataloader = dict()\ndefault_scope = None\ncustom_imports = {}'
    state = {'generator.a': torch.full((1, 1), 1e6)}
    torch.save(dict(state_dict=state, meta=dict(cfg=text)), tmp_path / 'a.pth')
    assert use('publish', tmp_path / 'a.pth', tmp_path / 'b') == 1
    assert 'generator.a of ' in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


@pytest.mark.parametrize('place', sorted(FOLDER.glob('*.pth')), ids=lambda place: place.stem)
def test_zoo_is_what_its_entry_and_card_say(place):
    """Each file has an entry, a card and label maps to start from that fit it."""
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    assert place.stem.endswith(f'-{digest[:8]}')
    entries = Config.fromfile(FOLDER / 'metafile.yml').Models
    (entry,) = [entry for entry in entries if entry.Weights == place.name]
    assert place.stem.startswith(f'{entry.Name}-') and entry.Metadata.SHA256 == digest
    card = (FOLDER / entry.README).read_text()
    assert digest in card and all(str(value) in card for value in entry.Results[0].Metrics.values())
    assert 'prior_checkpoint' not in read_config(place).model

    model = SLNPInferencer(entry.Alias, device='cpu')
    assert model.checkpoint == str(place) == zoo_checkpoint(entry.Alias)
    assert SLNPInferencer.list_models()[entry.Alias] == entry.Description
    examples = zoo_models()[entry.Alias].examples
    assert len(examples) >= 4
    for example in examples:
        label = model.read_label(example)
        assert label.shape == (128, 128) and len(np.unique(label)) > 1


def test_names_of_the_zoo_and_what_is_none():
    """The first is the default; a name without a file is no name."""
    names = list(SLNPInferencer.list_models())
    assert names[0] == 'toyscenes' and zoo_checkpoint() == zoo_checkpoint('toyscenes')
    with pytest.raises(SLNPError, match=f'no model rooms, it has {", ".join(names)}; a model of'):
        SLNPInferencer('rooms')
