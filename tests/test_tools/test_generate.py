"""tools/generate.py with the zoo's model, and tools/publish.py, which makes such a file."""

import hashlib

import cv2
import numpy as np
import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from PIL import Image

from slnp_mm.checkpoint import read_config
from slnp_mm.inferencer import ZOO, SLNPInferencer


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
    assert '4/4 pictures' in said and 'already' not in said
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
    assert '2 pictures are there already' in said and '2/2 pictures' in said
    assert before == [file.stat().st_mtime_ns for file in files[:2]]

    # another seed or a newer label map makes them old
    assert use('generate', *words, '--seed', 1) == 0
    assert '4/4 pictures' in capsys.readouterr().out
    np.testing.assert_allclose(
        np.asarray(Image.open(files[0])).astype(int), pictures[files[1]], atol=1
    )
    (labels / 'b.tif').touch()
    assert use('generate', *words, '--seed', 1) == 0
    assert '2 pictures are there already' in capsys.readouterr().out


def test_attention_sheet_and_comparison(use, labels, tmp_path):
    words = ['--labels', f'{labels}/**/*', '--out', tmp_path / 'out', '--device', 'cpu']
    more = ['--attention', tmp_path / 'attention', '--sheet', tmp_path / 'sheet.png']
    checkpoint = next(ZOO.glob('*.pth'))
    assert use('generate', *words, *more, '--compare', checkpoint) == 0
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
        (['--cfg-options', 'a=1'], "the zoo's model has its own"),
        (['--compare', 'a.pth'], '--compare shows its pictures on the sheet'),
        (['--sheet', 'a.jpg'], '--sheet is a PNG file, but got a.jpg'),
        (['--labels', 'nope*'], r'no label map at nope*: give a file'),
        (['--instances', 'nope'], 'no folder of instance maps at nope'),
    ],
)
def test_what_does_not_fit_is_said_first(use, words, text, labels, tmp_path):
    assert text in use('generate', '--labels', labels, '--out', tmp_path / 'out', *words)


def test_label_maps_are_not_overwritten(use, labels):
    assert 'among what is read' in use('generate', '--labels', labels, '--out', labels / 'x')
    glob = labels / 'sub' / '*'
    assert 'among what is read' in use('generate', '--labels', glob, '--out', labels / 'sub')
    one = labels / 'sub' / 'b.png'
    (labels / 'b.tif').rename(one)
    assert 'write over' in use('generate', '--labels', one, '--out', labels / 'sub')


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


def test_zoo_is_what_its_card_says():
    (place,) = ZOO.glob('*.pth')
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    assert place.stem.endswith(f'-{digest[:8]}') and place.stat().st_size <= 8_000_000
    (entry,) = Config.fromfile(ZOO / 'metafile.yml').Models
    assert entry.Weights == place.name and entry.Metadata.SHA256 == digest
    card = (ZOO / 'README.md').read_text()
    assert digest in card and all(str(value) in card for value in entry.Results[0].Metrics.values())
    assert 'prior_checkpoint' not in read_config(place).model
