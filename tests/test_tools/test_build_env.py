"""The environment script: choices, cache, error sentences. No network."""

import contextlib
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _load(name):
    path = ROOT / 'tools' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_load('stop_signals')
build_mmcv = _load('build_mmcv')
build_env = _load('build_env')


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('SLNP_MM_CACHE', str(tmp_path / 'cache'))
    monkeypatch.delenv('FORCE_CUDA', raising=False)
    return tmp_path / 'cache'


def _fake_python(tmp_path, body):
    """A stand-in for pip: ``$5`` and on are its arguments."""
    script = tmp_path / 'fake_python'
    script.write_text(f'#!/bin/sh\n{body}\n')
    script.chmod(0o755)
    return str(script)


WHEEL = 'while [ "$1" != -w ]; do shift; done; mkdir -p "$2"; echo wheel > "$2/mmcv-2.1.0-x.whl"'


def test_cache_folder_names_versions_python_and_machine(cache):
    tag = 'cp{}{}'.format(*sys.version_info)
    name = f'mmcv-2.1.0-torch2.11.0-{tag}-{platform.machine()}'
    found = build_mmcv.cache_folder('2.1.0', '2.11.0')
    assert found == cache / 'wheels' / name


def test_cuda_wheels_have_a_folder_of_their_own(cache, monkeypatch):
    plain = build_mmcv.cache_folder('2.1.0', '2.11.0')
    monkeypatch.setenv('FORCE_CUDA', '1')
    cuda = build_mmcv.cache_folder('2.1.0', '2.11.0')
    assert cuda.name == f'{plain.name}-cuda'


def test_cache_follows_xdg(monkeypatch):
    monkeypatch.delenv('SLNP_MM_CACHE', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', '/x')
    assert build_mmcv.cache_root() == Path('/x/slnp_mm')


def test_wheel_is_built_once(cache, tmp_path):
    folder = build_mmcv.cache_folder('2.1.0', '2.11.0')
    python = _fake_python(tmp_path, f'echo x >> {tmp_path}/calls; {WHEEL}')
    first = build_mmcv.ensure_wheel(folder, '2.1.0', python)
    second = build_mmcv.ensure_wheel(folder, '2.1.0', python)
    assert first == second and first.read_text() == 'wheel\n'
    assert (tmp_path / 'calls').read_text() == 'x\n'
    assert not list(folder.glob('build-*'))


def test_failed_build_leaves_no_wheel_and_names_the_log(cache, tmp_path):
    folder = build_mmcv.cache_folder('2.1.0', '2.11.0')
    python = _fake_python(tmp_path, f'{WHEEL}; echo broken; exit 1')
    with pytest.raises(build_mmcv.EnvError, match='log is .*build.log'):
        build_mmcv.ensure_wheel(folder, '2.1.0', python)
    assert build_mmcv.find_wheel(folder) is None
    assert 'broken' in (folder / 'build.log').read_text()
    assert not list(folder.glob('build-*'))


def test_two_builds_at_once_build_once(cache, tmp_path):
    folder = build_mmcv.cache_folder('2.1.0', '2.11.0')
    python = _fake_python(tmp_path, f'echo x >> {tmp_path}/calls; sleep 1; {WHEEL}')
    code = (
        f'import sys; sys.path.insert(0, {str(ROOT / "tools")!r})\n'
        'import build_mmcv as b; from pathlib import Path\n'
        f'b.ensure_wheel(Path({str(folder)!r}), "2.1.0", {python!r})\n'
    )
    both = [subprocess.Popen([sys.executable, '-c', code]) for _ in 'ab']
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert (tmp_path / 'calls').read_text() == 'x\n'


# a job in the background, or under nohup, inherits that signals are ignored
INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.path.insert(0, {tools!r})
import build_mmcv, stop_signals
from pathlib import Path
stop_signals.stop_like_ctrl_c()
watch = build_mmcv._watch


def noted(*args):
    Path({watched!r}).touch()
    return watch(*args)


build_mmcv._watch = noted
try:
    build_mmcv.ensure_wheel(Path({folder!r}), '2.1.0', {python!r})
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_interrupted_build_leaves_no_wheel(cache, tmp_path, number):
    folder = build_mmcv.cache_folder('2.1.0', '2.11.0')
    pid, watched = tmp_path / 'pid', tmp_path / 'watched'
    half = f'{WHEEL}; echo $$ > {pid}.part; mv {pid}.part {pid}; sleep 60'
    code = INTERRUPTED.format(
        tools=str(ROOT / 'tools'),
        folder=str(folder),
        python=_fake_python(tmp_path, half),
        watched=str(watched),
    )
    process = subprocess.Popen([sys.executable, '-c', code])
    deadline = time.monotonic() + 120
    while not (pid.exists() and watched.exists()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    compiler = int(pid.read_text())
    try:
        process.send_signal(number)
        code = process.wait(timeout=120)
        assert build_mmcv.find_wheel(folder) is None
        if number != signal.SIGKILL:  # against that nothing helps
            assert code == 130
            assert not list(folder.glob('build-*'))
            with pytest.raises(ProcessLookupError):
                os.kill(compiler, 0)
    finally:
        process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(compiler, signal.SIGKILL)
    whole = _fake_python(tmp_path, WHEEL)
    wheel = build_mmcv.ensure_wheel(folder, '2.1.0', whole)
    assert wheel.read_text() == 'wheel\n'
    assert not list(folder.glob('build-*'))


def test_cache_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(
        build_mmcv.EnvError,
        match=r'file/wheels cannot be written \(Not a directory\); choose '
        'another place: export SLNP_MM_CACHE=',
    ):
        build_mmcv.ensure_wheel(tmp_path / 'file/wheels/a', '2.1.0', 'python')


def test_rest_of_a_killed_build_is_removed(cache, tmp_path):
    folder = build_mmcv.cache_folder('2.1.0', '2.11.0')
    (folder / 'build-old' / 'out').mkdir(parents=True)
    (folder / 'build-old' / 'out' / 'mmcv-2.1.0-half.whl').touch()
    assert build_mmcv.find_wheel(folder) is None
    build_mmcv.ensure_wheel(folder, '2.1.0', _fake_python(tmp_path, WHEEL))
    assert not (folder / 'build-old').exists()


def test_missing_compiler_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(build_mmcv.EnvError, match='apt-get install g\\+\\+'):
        build_mmcv.check_compiler(str(tmp_path))


def test_missing_headers_name_the_package(monkeypatch, tmp_path):
    # a "compiler" that only knows <vector>
    fake = _fake_python(tmp_path, 'grep -q "<vector>" || exit 1')
    monkeypatch.setenv('CXX', fake)
    with pytest.raises(build_mmcv.EnvError, match=r'python3\.\d+-dev'):
        build_mmcv.check_compiler(str(tmp_path))


def test_progress_lines_of_ninja_are_read():
    text = '  [1/180] c++ a\n  [17/180] c++ b\n'
    assert build_mmcv.PROGRESS.findall(text)[-1] == ('17', '180')


def test_other_folder_is_not_taken_for_an_environment(tmp_path):
    (tmp_path / 'thesis.txt').touch()
    with pytest.raises(build_mmcv.EnvError, match='no virtual environment'):
        build_env.make_venv(tmp_path)
    assert (tmp_path / 'thesis.txt').exists()


def test_environment_of_another_python_is_refused(tmp_path):
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'pyvenv.cfg').touch()
    python = tmp_path / 'bin' / 'python'
    python.write_text('#!/bin/sh\necho 3.99\n')
    python.chmod(0o755)
    with pytest.raises(build_mmcv.EnvError, match='has Python 3.99'):
        build_env.make_venv(tmp_path)


def test_environment_of_a_vanished_python_is_refused(tmp_path):
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'pyvenv.cfg').touch()
    os.symlink('/gone/python3.11', tmp_path / 'bin' / 'python')
    with pytest.raises(
        build_mmcv.EnvError,
        match=r'made .* is gone \(/gone/python3.11\); remove it \(rm -r ',
    ):
        build_env.make_venv(tmp_path)


def test_half_made_environment_is_finished(tmp_path, monkeypatch):
    (tmp_path / 'pyvenv.cfg').touch()
    calls = []
    monkeypatch.setattr(build_env, 'run', lambda *args: calls.append(args[0]))
    build_env.make_venv(tmp_path)
    assert calls == [[sys.executable, '-m', 'venv', str(tmp_path)]]


def _finished(venv):
    (venv / 'bin').mkdir()
    (venv / 'bin' / 'python').touch()
    (venv / build_env.STAMP).write_text(build_env.stamp_text(venv))


def test_finished_environment_is_left_alone(tmp_path, monkeypatch, capsys):
    _finished(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['build_env', '--venv', str(tmp_path)])
    monkeypatch.setattr(build_env, 'stop_like_ctrl_c', lambda: None)
    monkeypatch.setattr(build_env, 'build', None)
    start = time.monotonic()
    assert build_env.main() == 0
    assert time.monotonic() - start < 1
    assert capsys.readouterr().out == f'[env] {tmp_path} is ready\n'


def test_unfinished_environment_is_not_ready(tmp_path):
    _finished(tmp_path)
    assert build_env.is_ready(tmp_path)
    (tmp_path / 'bin' / 'python').unlink()
    assert not build_env.is_ready(tmp_path)
    (tmp_path / 'bin' / 'python').touch()
    (tmp_path / build_env.STAMP).unlink()
    assert not build_env.is_ready(tmp_path)


def test_stopped_build_is_one_sentence(tmp_path, monkeypatch, capsys, cache):
    def stopped(venv):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, 'argv', ['x', '--venv', str(tmp_path / 'venv')])
    monkeypatch.setattr(build_env, 'stop_like_ctrl_c', lambda: None)
    monkeypatch.setattr(build_env, 'build', stopped)
    assert build_env.main() == 130
    found = capsys.readouterr().err
    assert found == 'error: stopped; run the same command again\n'


def test_stamp_changes_with_the_lock(tmp_path, monkeypatch):
    before = build_env.stamp_text(tmp_path)
    lock = tmp_path / 'lock.txt'
    lock.write_text('torch==9\n')
    monkeypatch.setattr(build_env, 'LOCK', lock)
    assert build_env.stamp_text(tmp_path) != before


def _env_sh(path, **extra):
    env = {'PATH': str(path), **extra}
    return subprocess.run(
        ['/bin/sh', str(ROOT / 'tools' / 'env.sh')],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def _shim(folder, name, body):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f'#!/bin/sh\n{body}\n')
    (folder / name).chmod(0o755)


def test_no_python_is_one_sentence(tmp_path):
    done = _env_sh(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith('error: Python 3.10, 3.11 or 3.12 is needed')
    assert 'apt-get install python3 python3-venv python3-dev' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_wrong_python_is_one_sentence(tmp_path):
    os.symlink(shutil.which('head'), tmp_path / 'head')
    _shim(
        tmp_path,
        'old',
        'if [ $1 = --version ]; then echo Python 3.8.1; else exit 1; fi',
    )
    done = _env_sh(tmp_path, PYTHON='old')
    assert done.returncode == 1
    assert done.stderr == (
        'error: PYTHON=old must be Python 3.10, 3.11 or 3.12, but got: '
        'Python 3.8.1; leave PYTHON out to have one found, or install one '
        '(Debian, Ubuntu: apt-get install python3 python3-venv '
        'python3-dev)\n'
    )


def test_python_that_does_not_run_is_passed_over(tmp_path):
    _shim(tmp_path, 'python3.11', 'echo not activated >&2; exit 127')
    _shim(
        tmp_path,
        'python3.12',
        'case "$1" in -c) exit 0;; esac; echo chosen "$@"',
    )
    os.symlink(shutil.which('dirname'), tmp_path / 'dirname')
    done = _env_sh(tmp_path, VENV='/somewhere')
    assert done.stdout.startswith('chosen ')
    assert done.stdout.rstrip().endswith('build_env.py --venv /somewhere')
