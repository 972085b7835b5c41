"""The demo's runner: progress, what is done already, failures."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def _load(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


_load('stop_signals')
demo_steps = _load('demo_steps')
demo = _load('demo')


def _step(tmp_path, name, code='', resume=()):
    """A step whose tool notes its arguments and then runs ``code``."""
    tool = tmp_path / f'{name}.py'
    tool.write_text(
        'import sys, pathlib\n'
        f'here = pathlib.Path({str(tmp_path)!r})\n'
        f'log = open(here / "{name}.calls", "a")\n'
        'log.write(" ".join(sys.argv[1:]) + ";")\n'
        'log.close()\n'
        f'{code}\n'
        f'(here / "{name}.out").touch()\n'
    )
    config = tmp_path / f'{name}.cfg'
    if not config.exists():
        config.write_text('one')
    return demo_steps.Step(
        name,
        [str(tool)],
        [tmp_path / f'{name}.out'],
        [config],
        1.0,
        tmp_path / 'notes',
        list(resume),
    )


def _calls(tmp_path, name):
    return (tmp_path / f'{name}.calls').read_text().split(';')[:-1]


def test_finished_steps_are_skipped(tmp_path, capsys):
    steps = [_step(tmp_path, 'a'), _step(tmp_path, 'b')]
    demo_steps.Demo(steps).run()
    assert '[2/2] b: done in 0:' in capsys.readouterr().out
    demo_steps.Demo(steps).run()
    assert _calls(tmp_path, 'a') == _calls(tmp_path, 'b') == ['']


def test_changed_config_renews_the_step_and_those_after_it(tmp_path):
    steps = [_step(tmp_path, name) for name in 'abc']
    demo_steps.Demo(steps).run()
    (tmp_path / 'b.cfg').write_text('two')
    demo_steps.Demo(steps).run()
    counts = [len(_calls(tmp_path, name)) for name in 'abc']
    assert counts == [1, 2, 2]


def test_interrupted_step_goes_on_with_its_resume_arguments(tmp_path):
    step = _step(tmp_path, 'a', 'raise SystemExit(3)', ['--resume'])
    with pytest.raises(demo_steps.StepError, match='"a" failed: exit code 3'):
        demo_steps.Demo([step]).run()
    _step(tmp_path, 'a')  # the tool no longer fails
    demo_steps.Demo([step]).run()
    assert _calls(tmp_path, 'a') == ['', '--resume']


def test_steps_after_an_interrupted_renewal_are_renewed_too(tmp_path):
    steps = [_step(tmp_path, 'a'), _step(tmp_path, 'b')]
    demo_steps.Demo(steps).run()
    (tmp_path / 'a.cfg').write_text('two')
    _step(tmp_path, 'a', 'raise SystemExit(3)')
    with pytest.raises(demo_steps.StepError):
        demo_steps.Demo(steps).run()
    _step(tmp_path, 'a')
    demo_steps.Demo(steps).run()
    assert _calls(tmp_path, 'b') == ['', '']


def test_checkpoint_of_other_settings_is_not_resumed(tmp_path):
    step = _step(tmp_path, 'a', '', ['--resume'])
    demo_steps.Demo([step]).run()
    (tmp_path / 'a.cfg').write_text('two')
    _step(tmp_path, 'a', 'raise SystemExit(3)')
    with pytest.raises(demo_steps.StepError):
        demo_steps.Demo([step]).run()
    assert not (tmp_path / 'a.out').exists()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_stopped_demo_stops_its_tool(tmp_path, number):
    pid, watched = tmp_path / 'pid', tmp_path / 'watched'
    code = (
        'import os, time\n'
        '(here / "part").write_text(str(os.getpid()))\n'
        '(here / "part").rename(here / "pid")\ntime.sleep(60)'
    )
    step = _step(tmp_path, 'a', code)
    program = (
        f'import signal, sys; sys.path.insert(0, {str(TOOLS)!r})\n'
        'signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it\n'
        'from pathlib import Path, PosixPath\n'
        'import demo, demo_steps\nfrom demo_steps import Step\n'
        f'demo_steps.Demo.show = lambda *_: Path({str(watched)!r}).touch()\n'
        f'demo.make_steps = lambda *_: [{step!r}]\n'
        'sys.argv = ["demo"]\nsys.exit(demo.main())\n'
    )
    process = subprocess.Popen([sys.executable, '-c', program], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (pid.exists() and watched.exists()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert error == '\nerror: stopped; the same command goes on\n'
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_failure_gives_the_tools_own_sentence(tmp_path):
    code = 'print("error: no data at x: put it there"); sys.exit(1)'
    with pytest.raises(demo_steps.StepError) as caught:
        demo_steps.Demo([_step(tmp_path, 'a', code)]).run()
    text = str(caught.value)
    assert text.startswith('"a" failed: no data at x: put it there (log: ')


def test_missing_output_is_a_failure(tmp_path):
    with pytest.raises(demo_steps.StepError, match='did not write .*a.out'):
        demo_steps.Demo([_step(tmp_path, 'a', 'sys.exit(0)')]).run()


class Running:
    """Stands for a process that has not ended."""

    def poll(self):
        return None


def _tool(tmp_path, number, text, passed, resumed=False):
    """A tool that has printed ``text`` in ``passed`` seconds."""
    log = tmp_path / f'{number}.log'
    log.write_text(text)
    start = time.monotonic() - passed
    return demo_steps.Tool(number, Running(), log, start, resumed)


def test_progress_line_has_count_and_time_left(tmp_path, capsys):
    steps = [_step(tmp_path, 'a'), _step(tmp_path, 'b')]
    steps[1].seconds = 60.0
    text = 'Iter(train) [  50/200]  eta: 0:01:00\n'
    demo_steps.Demo(steps).show(_tool(tmp_path, 1, text, 20.0))
    # 50 of 200 in 20 s: 60 s left, and the next step's 60 s
    line = capsys.readouterr().out.strip()
    assert line == '[1/2] a: 50/200, 1:00 left, whole demo 2:00'


def test_slower_tool_beside_counts_for_the_whole(tmp_path, capsys):
    steps = [_step(tmp_path, name) for name in 'abc']
    steps[2].seconds = 30.0
    runner = demo_steps.Demo(steps)
    runner.renewed = True
    runner.side = _tool(tmp_path, 1, 'Iter(train) [10/100]', 10.0)
    runner.show(_tool(tmp_path, 2, 'Iter(train) [10/20]', 20.0))
    # 20 s are left of b and 90 s of a, then c takes 30 s
    line = capsys.readouterr().out.strip()
    assert line == ('[2/3] b: 10/20, 0:20 left, [1/3]: 10/100, whole demo 2:00')


def test_step_beside_runs_with_the_next_and_before_the_last(tmp_path):
    """a and b wait for each other's file, c for nothing."""
    meet = (
        'import time\n(here / "{0}.here").touch()\n'
        'while not (here / "{1}.here").exists(): time.sleep(0.01)'
    )
    steps = [
        _step(tmp_path, 'a', meet.format('a', 'b')),
        _step(tmp_path, 'b', meet.format('b', 'a')),
        _step(tmp_path, 'c', 'assert (here / "a.out").exists()'),
    ]
    steps[0].beside = True
    demo_steps.Demo(steps).run()
    assert all((tmp_path / f'{name}.out').exists() for name in 'abc')


def test_failure_beside_ends_the_other_step(tmp_path):
    steps = [
        _step(tmp_path, 'a', 'print("error: no luck"); sys.exit(1)'),
        _step(tmp_path, 'b', 'import time; time.sleep(60)'),
        _step(tmp_path, 'c'),
    ]
    steps[0].beside = True
    runner, start = demo_steps.Demo(steps), time.monotonic()
    with pytest.raises(demo_steps.StepError, match='"a" failed: no luck'):
        runner.run()
    assert time.monotonic() - start < 30
    assert runner.running[1].process.poll() is not None


def test_step_beside_renews_the_last_step_only(tmp_path):
    steps = [_step(tmp_path, name) for name in 'abc']
    steps[0].beside = True
    demo_steps.Demo(steps).run()
    (tmp_path / 'a.cfg').write_text('two')
    demo_steps.Demo(steps).run()
    counts = [len(_calls(tmp_path, name)) for name in 'abc']
    assert counts == [2, 1, 2]


def test_resumed_step_is_timed_by_its_own_pace(tmp_path, capsys):
    runner = demo_steps.Demo([_step(tmp_path, 'a')])
    runner.steps[0].seconds = 80.0
    tool = _tool(tmp_path, 1, 'Iter(train) [400/800]', 20.0, resumed=True)
    runner.show(tool)  # 400 of 800 left at the plan's pace
    tool.log.write_text('Iter(train) [500/800]')
    tool.start -= 30.0
    runner.last_print = 0.0
    runner.show(tool)  # 100 in 30 s, so 300 in 90 s
    assert capsys.readouterr().out.splitlines() == [
        '[1/1] a: 400/800, 0:40 left, whole demo 0:40',
        '[1/1] a: 500/800, 1:30 left, whole demo 1:30',
    ]


def test_time_left_counts_steps_that_will_be_renewed(tmp_path, capsys):
    steps = [_step(tmp_path, 'a'), _step(tmp_path, 'b')]
    demo_steps.Demo(steps).run()
    (tmp_path / 'a.cfg').write_text('two')
    steps[1].seconds = 600.0
    capsys.readouterr()
    demo_steps.Demo(steps).run()
    first = capsys.readouterr().out.splitlines()[0]
    assert first == '[1/2] a: starting, 0:01 left, whole demo 10:01'


@pytest.mark.parametrize(
    ('text', 'count'),
    [
        ('', (0, 0)),
        ('Iter(train) [ 20/600] x\nIter(train) [ 40/600] y', (40, 600)),
        ('\rToyScenes: 25/900 drawn, 3 s left', (25, 900)),
        ('built 3/4 of it', (0, 0)),
    ],
)
def test_last_count(tmp_path, text, count):
    (tmp_path / 'log').write_text(text)
    assert demo_steps.last_count(tmp_path / 'log') == count


def test_table_has_generated_beside_real():
    scores = {'PA': 81.26, 'mIoU': 55.0, 'real/PA': 93.0, 'real/mIoU': 80.0}
    scores.update({'share/PA': 87.4, 'share/mIoU': 68.75})
    assert demo.table(scores).splitlines()[2:] == [
        '| generated | 81.3 | 55.0 |',
        '| real (the same scorer) | 93.0 | 80.0 |',
        '| share reached | 87 % | 69 % |',
    ]


def test_every_command_of_the_demo_names_existing_files():
    for step in demo.make_steps(Path('work_dirs/demo/seed_0'), 0):
        named = [arg for arg in step.command if arg.endswith('.py')]
        for path in [*named, *step.configs]:
            assert (TOOLS.parent / path).exists(), path


def test_seeds_share_data_and_scorer_but_not_the_networks():
    first = demo.make_steps(Path('work_dirs/demo/seed_0'), 0)
    second = demo.make_steps(Path('work_dirs/demo/seed_1'), 1)
    same = [a.command == b.command for a, b in zip(first, second)]
    assert same == [True, True, False, False, False]
    assert first[1].folder == second[1].folder
    assert not set(first[3].outputs) & set(second[3].outputs)
