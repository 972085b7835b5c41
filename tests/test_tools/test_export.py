"""Exported files give PyTorch's pictures for any batch and number of instances."""

import json
import re
import sys
import zipfile
from pathlib import Path

import _export
import export
import numpy as np
import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from slnp_mm.errors import SLNPError
from slnp_mm.evaluation.functional.images import to_uint8

ENDINGS = ('onnx', 'pt2')


@pytest.fixture(scope='module')
def made(tmp_path_factory, tiny):
    """A narrow plus model, and the folder with its files for 64 x 32 pixels."""
    folder, traced = tmp_path_factory.mktemp('export'), []
    cfg = Config.fromfile(tiny.ROOT / 'configs/slnp_toy_plus.py')
    generator = cfg.model.generator
    generator.global_generator.update(num_downs=1, num_blocks=1, modulated=False)
    generator.refiners[0].num_blocks = 1
    cfg.model.noise_prior.num_scales = 2
    tiny.narrow(cfg.model)
    cfg.model.discriminator = None
    cfg.dump(folder / 'narrow.py')
    with pytest.MonkeyPatch.context() as patch, DefaultScope.overwrite_default_scope('mmagic'):
        torch.manual_seed(0)
        model = MODELS.build(cfg.model).eval()
        model.noise_prior.is_trained = True
        for name, value in model.state_dict().items():
            if 'to_rgb.weight' in name:  # contrast, and another picture of the averaged generator
                value.mul_(30 if 'ema' in name else -30)
        torch.save(dict(state_dict=model.state_dict()), folder / 'a.pth')

        def trace_once(*args, trace=_export.trace):
            traced[:] = traced or [trace(*args)]
            return traced[0]

        patch.setattr(_export, 'trace', trace_once)
        patch.chdir(folder)
        for ending in ENDINGS:
            words = ['narrow.py', 'a.pth', '--size', '64', '32', '--out', f'a.{ending}']
            patch.setattr(sys, 'argv', ['export.py', *words])
            export.main()
    return model, folder


@pytest.mark.slow
@pytest.mark.parametrize('ending', ENDINGS)
def test_pictures_are_those_of_the_model(made, ending):
    model, folder = made
    draw = _export.load(f'{folder}/a.{ending}')
    for batch, slots in ((1, 2), (3, 7)):
        inputs = _export.make_inputs(_export.Exported(model), (64, 32), batch=batch, slots=slots)
        inputs['label'][:, :10], inputs['instances'][..., :10, :] = 255, -1
        found = draw(inputs)
        inputs['label'][:, :10] = model.generator.num_classes
        expected = np.stack([to_uint8(sample.fake_img)[..., ::-1] for sample in model(inputs)])
        assert found.dtype == np.uint8 and found.shape == (batch, 64, 32, 3)
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert expected.std() > 10


@pytest.mark.slow
@pytest.mark.parametrize('ending', ENDINGS)
def test_file_says_what_it_is(made, ending):
    folder = made[1]
    if ending == 'onnx':
        import onnx

        found = onnx.load(folder / 'a.onnx')
        facts = {item.key: item.value for item in found.metadata_props}
        shapes = {
            value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in [*found.graph.input, *found.graph.output]
        }
        assert shapes == dict(
            label=['batch', 64, 32],
            instances=['batch', 1, 64, 32],
            instance_labels=['batch', 'instances'],
            noise=['batch', 4, 2, 2],
            image=['batch', 64, 32, 3],
        )
        assert [item.version for item in found.opset_import] == [18]
    else:
        with zipfile.ZipFile(folder / 'a.pt2') as file:
            (name,) = [name for name in file.namelist() if name.endswith('/metadata.json')]
            facts = json.loads(file.read(name))
    source = json.loads(facts.pop('source'))
    assert source['config'] == 'narrow.py' and len(source['sha256']) == 64
    assert json.loads(facts.pop('classes'))[:2] == ['sky', 'cloud']
    assert facts == dict(
        size='[64, 32]',
        layers='1',
        noise='white, the noise prior is inside; shape [4, 2, 2]',
        opset='18',
    )


@pytest.mark.slow
def test_example_of_the_page_draws(made, monkeypatch, tiny):
    text, names = (tiny.ROOT / 'docs/export.md').read_text(), {}
    monkeypatch.chdir(made[1])
    (code,) = re.findall(r'```python\n(.*?)```', text, re.S)
    exec(code.replace('slnp_toy_plus', 'a'), names)
    assert names['image'].shape == (1, 64, 32, 3) and names['image'].dtype == np.uint8


@pytest.mark.slow
def test_size_that_the_network_does_not_take_is_one_sentence(made, monkeypatch, use, capsys):
    """nanodet 505, FoundationStereo 44: an export of another size ended in a traceback."""
    monkeypatch.chdir(made[1])
    words = ['narrow.py', 'a.pth', '--size', '62', '64', '--out', 'b.pt2']
    assert use('export', *words) == 1
    said = capsys.readouterr().err
    assert re.match(r'error: --size is 62 x 64 .* the nearest are \d+ x 64, 64 x 64;', said), said
    assert not Path('b.pt2').exists()


def test_file_that_differs_is_not_written(monkeypatch, tmp_path):
    monkeypatch.setattr(_export, 'trace', lambda *_: None)
    monkeypatch.setattr(_export, 'save', lambda *_: None)
    monkeypatch.setattr(_export, 'load', lambda _: lambda _: np.full(2, 3, np.uint8))
    with pytest.raises(SLNPError, match='differs from PyTorch by 2 grey levels'):
        _export.export(lambda: torch.full((2,), 1, dtype=torch.uint8), {}, str(tmp_path / 'a'), {})
    assert not list(tmp_path.iterdir())


def test_other_ending_or_missing_package_is_named(monkeypatch, use, capsys):
    assert use('export', 'c.py', 'a.pth', '--out', 'a.pth') == 2
    assert '--out must end in .onnx or .pt2, but got a.pth' in capsys.readouterr().err
    without = lambda name: None if name == 'onnxscript' else name  # noqa: E731
    monkeypatch.setattr('importlib.util.find_spec', without)
    assert use('export', 'c.py', 'a.pth', '--out', 'a.onnx') == 1
    sentence = 'error: ONNX needs onnxscript: run pip install slnp_mm[export]\n'
    assert capsys.readouterr().err == sentence
