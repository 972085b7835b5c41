"""The tools take the options of mmagic's own train and test tools."""

import importlib.util
import re
import sys
from pathlib import Path

import mmagic
import pytest

ROOT = Path(__file__).resolve().parents[2]
THEIRS = Path(mmagic.__file__).parent / '.mim' / 'tools'


def _load(name):
    path = ROOT / 'tools' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(f'tool_{name}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _parse(name, monkeypatch, *words):
    monkeypatch.setattr(sys, 'argv', [name, *words])
    return vars(_load(name).parse_args())


SHARED = ['--work-dir', 'w', '--launcher', 'slurm', '--local-rank', '2']
SHARED += ['--cfg-options', 'a.b=1', 'c=[1,2]', 'd=x,y']
EXPECTED = dict(
    config='c.py',
    work_dir='w',
    launcher='slurm',
    local_rank=2,
    cfg_options={'a.b': 1, 'c': [1, 2], 'd': ['x', 'y']},
)


def test_train_takes_mmagics_options(monkeypatch):
    switches = ['--resume', '--amp', '--auto-scale-lr']
    found = _parse('train', monkeypatch, 'c.py', *switches, *SHARED)
    on = dict(resume=True, amp=True, auto_scale_lr=True, tensorboard=False, wandb=False)
    assert found == {**EXPECTED, **on}


def test_test_takes_mmagics_options(monkeypatch):
    words = ['c.py', 'a.pth', '--out', 'x.json', *SHARED]
    found = _parse('test', monkeypatch, *words)
    own = dict(checkpoint='a.pth', out='x.json', num_pictures=0)
    assert found == {**EXPECTED, **own}


@pytest.mark.parametrize('name', ['train', 'test'])
@pytest.mark.skipif(not THEIRS.is_dir(), reason="mmagic's tools are missing")
def test_no_option_of_mmagics_tool_is_missing(name, monkeypatch, capsys):
    theirs = set(re.findall(r"'(--[a-z_-]+)'", (THEIRS / f'{name}.py').read_text()))
    with pytest.raises(SystemExit):
        _parse(name, monkeypatch, '--help')
    ours = set(re.findall(r'--[a-z_-]+', capsys.readouterr().out))
    assert len(theirs) >= 5
    assert theirs <= ours
