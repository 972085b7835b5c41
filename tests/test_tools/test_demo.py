"""The demo: what is done already, what runs beside what, failures."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import demo
import pytest

from slnp_mm.errors import SLNPError

TOOLS = Path(demo.__file__).parent


@pytest.fixture
def runner(tmp_path):
    """An empty demo; ``steps[name] = _step(...)`` adds to it."""
    runner = demo.Demo({}, tmp_path / 'out')
    yield runner
    for process in runner.running.values():
        process.kill()


def _step(tmp_path, name, code='', result=None):
    """A step whose tool leaves a line for each call and then runs ``code``."""
    tool = tmp_path / f'{name}.py'
    tool.write_text(
        'import sys, time, pathlib\n'
        f'here = pathlib.Path({str(tmp_path)!r})\n'
        f'open(here / "{name}.calls", "a").write("x")\n'
        f'{code}\n'
    )
    return str(tool), result or tmp_path / 'out' / f'{name}.log'


def _run(runner, *names):
    for name in names:
        runner.start(name)
        runner.wait(name)


def test_finished_step_is_kept(tmp_path, runner, capsys):
    runner.steps['a'] = _step(tmp_path, 'a', 'print("hello")')
    _run(runner, 'a', 'a')
    assert (tmp_path / 'a.calls').read_text() == 'x'
    assert (tmp_path / 'out/a.log').read_text() == 'hello\n'
    assert capsys.readouterr().out.endswith(
        f'a.py\na      done\na      {tmp_path}/out/a.log exists\n'
    )


@pytest.mark.parametrize(
    'code, why',
    [
        ('sys.exit(3)', 'exit code 3'),
        ('print("error: no data at x: put it there"); sys.exit(1)', 'no data at x: put it there'),
    ],
)
def test_failed_step_is_named_and_run_again(tmp_path, runner, code, why):
    runner.steps['a'] = _step(tmp_path, 'a', code)
    with pytest.raises(SLNPError) as caught:
        _run(runner, 'a')
    assert str(caught.value) == f'a failed: {why} (log: {tmp_path}/out/a.part)'
    _run(demo.Demo({'a': _step(tmp_path, 'a')}, runner.out), 'a')
    assert (tmp_path / 'a.calls').read_text() == 'xx'


def test_missing_result_is_a_failure(tmp_path, runner):
    runner.steps['a'] = _step(tmp_path, 'a', result=tmp_path / 'scores')
    with pytest.raises(SLNPError, match='a exited without writing .*/scores'):
        _run(runner, 'a')


def test_step_beside_runs_with_the_next(tmp_path, runner):
    """Each of the two waits for the other's file."""
    meet = '(here / "{0}").touch()\nwhile not (here / "{1}").exists(): time.sleep(0.01)'
    runner.steps['a'] = _step(tmp_path, 'a', meet.format('a.here', 'b.here'))
    runner.steps['b'] = _step(tmp_path, 'b', meet.format('b.here', 'a.here'))
    runner.start('a')
    _run(runner, 'b')
    runner.wait('a')
    assert not runner.running
    assert (tmp_path / 'out/a.log').exists()


def test_failure_beside_ends_the_wait(tmp_path, runner):
    runner.steps['a'] = _step(tmp_path, 'a', 'print("error: no luck"); sys.exit(1)')
    runner.steps['b'] = _step(tmp_path, 'b', 'time.sleep(60)')
    start = time.monotonic()
    runner.start('a')
    with pytest.raises(SLNPError, match='a failed: no luck'):
        _run(runner, 'b')
    assert time.monotonic() - start < 30


def test_trainings_beside_the_scorer_share_the_cores(tmp_path, runner, monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr(os, 'cpu_count', lambda: 6)
    show = 'import os; print(os.environ.get("OMP_NUM_THREADS"))'
    for name in ('scorer', 'gan', 'scores'):
        runner.steps[name] = _step(tmp_path, name, show)
    runner.start('scorer')
    runner.start('gan')
    runner.wait('gan')
    runner.wait('scorer')
    _run(runner, 'scores')
    found = [(tmp_path / f'out/{n}.log').read_text() for n in ('scorer', 'gan', 'scores')]
    assert found == ['3\n', '3\n', 'None\n']


def test_last_line_with_the_time_left_is_shown(tmp_path, runner, capsys):
    line = '2026/11/25 18:00:00 - mmengine - INFO - Iter(train) [ 40/600]  lr: 1e-4  eta: 0:01:00'
    code = f'print({line!r}, "more", sep="\\n", flush=True); time.sleep(1)'
    runner.steps['a'] = _step(tmp_path, 'a', code)
    runner.start('a')
    runner.wait('a', pause=0.5)
    assert 'a      Iter(train) [ 40/600]  lr: 1e-4  eta: 0:01:00\n' in capsys.readouterr().out


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_stopped_demo_stops_its_tool(tmp_path, number):
    code = '(here / "part").write_text(str(__import__("os").getpid()))\n'
    code += '(here / "part").rename(here / "pid")\ntime.sleep(60)'
    step = _step(tmp_path, 'a', code)
    program = (
        f'import os, signal, sys; sys.path.insert(0, {str(TOOLS)!r})\n'
        'signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it\n'
        'from pathlib import Path, PosixPath\n'
        f'import demo\ndemo.list_steps = lambda *_: {{"a": {step!r}}}\n'
        f'demo.__file__ = {str(tmp_path / "tools/demo.py")!r}\n'
        'sys.argv = ["demo"]\ndemo.main()\n'
    )
    process = subprocess.Popen([sys.executable, '-c', program], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / 'pid').exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert error == 'error: stopped; run the same command again to resume\n'
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / 'pid').read_text()), 0)


def test_commands_name_existing_files_and_seeds_share_data_and_scorer_only():
    first = demo.list_steps(Path('work_dirs/demo/seed_0'), 0)
    for command, _ in first.values():
        for path in [word for word in command.split() if word.endswith('.py')]:
            assert (TOOLS.parent / path).exists(), path
    second = demo.list_steps(Path('work_dirs/demo/seed_1'), 1)
    assert [name for name in first if first[name] == second[name]] == ['data', 'scorer']
    assert all(first[name][1] != second[name][1] for name in ('prior', 'gan', 'scores'))
