"""tools/benchmark.py: the dispatcher, its timing and the AMM part."""

import argparse
import copy
import importlib
import json
import sys
import time
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
PATHS = ['default', 'single', 'foreach']


@pytest.fixture
def load(monkeypatch):
    """Import a module as the script does, from tools/."""
    monkeypatch.syspath_prepend(str(TOOLS))
    yield importlib.import_module
    for name in [n for n in sys.modules if n.split('.')[0] == 'benchmarks']:
        del sys.modules[name]
    sys.modules.pop('benchmark', None)


def test_parts_are_found_and_described(load):
    benchmark = load('benchmark')
    assert 'amm' in benchmark.part_names()
    for name in benchmark.part_names():
        part = load(f'benchmarks.{name}')
        assert part.__doc__ and callable(part.run)
        part.add_arguments(argparse.ArgumentParser())


def test_timing_goes_in_turn_and_back(load):
    timing = load('benchmarks._timing')
    order = []
    calls = {n: (lambda n=n: order.append(n)) for n in 'abc'}
    times = timing.time_in_turn(calls, rounds=2, warmup=1)
    assert ''.join(order) == 'abccbaabc'
    assert {name: len(found) for name, found in times.items()} == dict(a=2, b=2, c=2)


def test_timing_measures_seconds_per_call(load):
    timing = load('benchmarks._timing')
    taken = timing.time_once(lambda: time.sleep(0.02), repeats=3)
    assert 0.02 <= taken < 0.06


def test_ratio_is_taken_round_by_round(load):
    timing = load('benchmarks._timing')
    times = dict(a=[2.0, 9.0, 4.0], b=[1.0, 3.0, 4.0])
    assert timing.ratio(times, 'a', 'b') == dict(median=2, min=1, max=3)


def test_timing_refuses_no_rounds(load):
    timing = load('benchmarks._timing')
    with pytest.raises(ValueError, match='got 0 and 1'):
        timing.time_in_turn({}, rounds=0)


def test_table_is_padded_markdown(load):
    timing = load('benchmarks._timing')
    table = timing.format_table(['a', 'long'], [['xyz', 1]])
    assert table.splitlines() == [
        '| a   | long |', '| --- | ---- |', '| xyz | 1    |',
    ]  # fmt: skip


@pytest.mark.parametrize('path', PATHS)
def test_amm_holds_exactly_one_buffer_more_than_adam(load, path):
    part = load('benchmarks.amm')
    shapes = [(3, 5), (7,), (2, 2, 3, 3)]
    found = part.compare(shapes, 'cpu', part.PATHS[path], rounds=2)
    assert found['extra_buffers'] == 1
    assert found['ratio']['min'] > 0


def test_main_prints_and_writes_the_result(load, monkeypatch, tmp_path, capsys):
    benchmark = load('benchmark')
    part = load('benchmarks.amm')
    monkeypatch.setattr(part, 'parameter_shapes', lambda config: [(4, 4)])
    monkeypatch.setattr(part, 'reference_unit', lambda: 0.01)
    out = tmp_path / 'new' / 'amm.json'
    benchmark.main([
        'amm', '--rounds', '2', '--paths', 'single', '--json', str(out),
    ])  # fmt: skip
    printed = capsys.readouterr().out
    assert '16 parameters in 1 tensors' in printed and '| single' in printed
    result = json.loads(out.read_text())
    assert result['name'] == 'amm' and 'table' not in result
    assert result['paths']['single']['extra_buffers'] == 1
    assert [p.name for p in out.parent.iterdir()] == ['amm.json']


def test_bad_arguments_are_refused(load):
    benchmark = load('benchmark')
    with pytest.raises(SystemExit, match='--threads.*got 0'):
        benchmark.main(['amm', '--threads', '0'])
    with pytest.raises(SystemExit):
        benchmark.main(['nothing'])


def test_peer_of_the_networks_trains(load):
    """mmagic's Pix2Pix with 7 channels: both of its networks move."""
    peer = load('benchmarks._pix2pix')
    with DefaultScope.overwrite_default_scope('mmagic'):
        model = peer.build(7, num_down=5)
        calls = peer.make_calls(model, 7, 32)
        before = copy.deepcopy(model.state_dict())
        assert calls['peer_generate']().shape == (1, 3, 32, 32)
        calls['peer_step']()
    for part in ('generators', 'discriminators'):
        assert any(
            not value.equal(before[name])
            for name, value in model.named_parameters()
            if name.startswith(part)
        )


def test_networks_table_sets_the_measured_peer_beside_ours(load):
    networks = load('benchmarks.networks')
    timed = dict(median=3.0, min=2.0, max=4.0)
    found = {
        prefix + key: value
        for prefix, size in (('', 1.0), ('peer_', 2.0))
        for key, value in dict(parameters=size, gmac=size, generate=timed, step=timed).items()
    }
    *_, peer, target, own = networks.network_rows('a.py', found)
    times = ['3 (2 to 4)'] * 2
    assert peer == ['mmagic Pix2Pix U-Net, this run', '2.0', '2.0', *times]
    assert target == ['target, at most', 60, 60, 100, 400]
    assert own == ['a.py', '1.0', '1.0', *times]
