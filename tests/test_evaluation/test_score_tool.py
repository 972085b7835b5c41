"""tools/score.py --compare, without building networks."""

import importlib.util
import json
import sys

import pytest


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location('score', 'tools/score.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path, **protocol):
    path.write_text(
        json.dumps(
            dict(
                format=1,
                figures=dict(PA=50.0),
                per_class=[],
                run={},
                versions={},
                protocol=dict(num_images=4, **protocol),
            )
        )
    )
    return str(path)


def test_compare_refuses_other_protocols(tool, tmp_path, capsys):
    paths = [write(tmp_path / 'a.json', split='val'), write(tmp_path / 'b.json', split='train')]
    assert tool.compare(paths, force=False) == 1
    assert 'protocols differ in split: val and train' in (capsys.readouterr().err)
    assert tool.compare(paths, force=True) == 0
    assert '| PA' in capsys.readouterr().out


def test_compare_shows_equal_protocols(tool, tmp_path, capsys):
    paths = [write(tmp_path / 'a.json'), write(tmp_path / 'b.json')]
    assert tool.compare(paths, force=False) == 0
    captured = capsys.readouterr()
    assert '+0' in captured.out and captured.err == ''


def test_out_of_another_ending_is_refused_before_scoring(tool, monkeypatch, capsys):
    argv = ['score.py', 'c.py', '--images', 'made', '--out', 'r.txt']
    monkeypatch.setattr(sys, 'argv', argv)
    with pytest.raises(SystemExit):
        tool.main()
    said = capsys.readouterr().err
    assert '--out must end in .json, but got r.txt' in said


def test_nothing_to_do_is_a_usage_error(tool, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['score.py'])
    with pytest.raises(SystemExit):
        tool.main()
    assert 'give a config and --images' in capsys.readouterr().err
