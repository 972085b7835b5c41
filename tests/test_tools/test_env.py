"""``make env``: which Python, what is missing, what is told. No network."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ('sh', 'awk', 'nproc', 'cat', 'ls')
FIRST_TIME = (
    "the first time this downloads 3 GB and compiles mmcv's operators, which takes about ten "
    'minutes on two cores\n'
)
CACHED = 'Would install 2 packages\n + mmcv==2.1.0\n + torch==2.11.0'
TO_BUILD = f'Would download 1 package\n{CACHED}'


def _script(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n{body}\n')
    path.chmod(0o755)


def _python(tmp_path, version):
    """A Python that says its version, notes any other call and then fails."""
    body = f'case "$1" in -c) echo {version};; *) echo "$@" >{tmp_path}/called; exit 1;; esac'
    _script(tmp_path / f'path/python{version}', body)


@pytest.fixture
def make(tmp_path):
    """Call ``make env`` with only what a bare machine has on PATH."""
    (tmp_path / 'path').mkdir()
    for name in NEEDED:
        os.symlink(shutil.which(name), tmp_path / 'path' / name)

    def call(*args, **env):
        return subprocess.run(
            [
                shutil.which('make'),
                '--no-print-directory',
                '-C',
                ROOT,
                'env',
                f'VENV={tmp_path}/venv',
                *args,
            ],
            env={'PATH': str(tmp_path / 'path'), **env},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return call


@pytest.fixture
def venv(tmp_path):
    """Make an environment whose uv writes its call to ``called`` and plans ``plan``."""

    def build(plan):
        (tmp_path / 'plan').write_text(plan + '\n')
        log = 'echo "$UV_DEFAULT_INDEX $MAX_JOBS $*"'
        _script(
            tmp_path / 'venv/bin/uv',
            f'case "$*" in *--dry-run*) cat {tmp_path}/plan;; *) {log} >{tmp_path}/called;; esac',
        )
        _script(tmp_path / 'venv/bin/python', f'exec {sys.executable} "$@"')

    return build


def test_no_python_is_one_sentence(make):
    done = make()
    assert done.returncode
    assert done.stderr.splitlines()[0] == (
        'error: Python 3.10, 3.11 or 3.12 is needed, but none is on PATH; install one (Debian, '
        'Ubuntu: apt-get install python3 python3-venv python3-dev) or name one: make env '
        'PYTHON=/path/to/python3.11'
    )


@pytest.mark.parametrize('body', ['echo 3.8', 'echo not activated >&2; exit 127'])
def test_wrong_python_is_one_sentence(make, tmp_path, body):
    _script(tmp_path / 'path/old', body)
    done = make('PYTHON=old')
    assert done.returncode
    assert done.stderr.splitlines()[0].startswith(
        'error: Python 3.10, 3.11 or 3.12 is needed, but PYTHON=old is another or does not run; '
        'install one'
    )


def test_python_that_does_not_run_is_passed_over(make, tmp_path):
    _script(tmp_path / 'path/python3.11', 'echo not activated >&2; exit 127')
    _python(tmp_path, '3.12')
    make()
    assert (tmp_path / 'called').read_text() == f'-m venv {tmp_path}/venv\n'


def test_environment_of_another_python_is_refused(make, venv, tmp_path):
    venv('')
    _script(tmp_path / 'path/other', 'echo 3.99')
    done = make('PYTHON=other')
    short = '{}.{}'.format(*sys.version_info)
    assert done.returncode
    assert done.stderr.splitlines()[0] == (
        f'error: the Python of {tmp_path}/venv is {short} and not that of PYTHON=other; remove it '
        f'(rm -r {tmp_path}/venv) or choose another place with VENV='
    )


def test_environment_of_a_vanished_python_is_refused(make, venv, tmp_path):
    venv('')
    (tmp_path / 'venv/bin/python').unlink()
    os.symlink('/gone/python3.11', tmp_path / 'venv/bin/python')
    assert make().stderr.splitlines()[0] == (
        f'error: the Python of {tmp_path}/venv is gone; remove it (rm -r {tmp_path}/venv) or '
        'choose another place with VENV='
    )


def test_other_folder_is_not_taken_for_an_environment(make, tmp_path):
    _python(tmp_path, '3.11')
    (tmp_path / 'venv').mkdir()
    (tmp_path / 'venv/thesis.txt').touch()
    assert make().stderr.splitlines()[0] == (
        f'error: {tmp_path}/venv is no virtual environment; choose another place with VENV='
    )
    assert not (tmp_path / 'called').exists()


def test_half_made_environment_is_finished(make, tmp_path):
    _python(tmp_path, '3.11')
    (tmp_path / 'venv').mkdir()
    (tmp_path / 'venv/pyvenv.cfg').touch()
    make()
    assert (tmp_path / 'called').read_text() == f'-m venv {tmp_path}/venv\n'


@pytest.mark.parametrize('known', ['exit 1', 'grep -q "<Python.h>" && exit 1; exit 0'])
def test_missing_compiler_or_headers_is_one_sentence(make, venv, tmp_path, known):
    venv(TO_BUILD)
    os.symlink(shutil.which('grep'), tmp_path / 'path/grep')
    _script(tmp_path / 'path/c++', known)
    done = make()
    include, short = sysconfig.get_path('include'), '{}.{}'.format(*sys.version_info)
    assert done.returncode
    assert done.stderr.splitlines()[0] == (
        "error: compiling mmcv needs a C++ compiler and Python's headers, but c++ is missing or "
        f'finds no {include}/Python.h; install them (Debian, Ubuntu: apt-get install g++ '
        f'python{short}-dev)'
    )
    assert not (tmp_path / 'called').exists()


def test_long_build_is_told_before_it_starts(make, venv, tmp_path):
    venv(TO_BUILD)
    _script(tmp_path / 'path/c++', 'cat >/dev/null')
    done = make(MAX_JOBS='7')
    assert (done.returncode, done.stdout) == (0, FIRST_TIME)
    assert ' 7 pip install ' in (tmp_path / 'called').read_text()


def test_wheel_in_the_cache_needs_no_compiler(make, venv, tmp_path):
    venv(CACHED)
    done = make()
    assert (done.returncode, done.stdout) == (0, '')
    assert (tmp_path / 'called').exists()


def test_finished_environment_is_left_alone(make, venv, tmp_path):
    venv('Checked 2 packages in 5ms\nWould make no changes')
    done = make()
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    assert not (tmp_path / 'called').exists()


def test_uv_uses_pips_index_unless_it_has_its_own(make, venv, tmp_path):
    venv(CACHED)
    make(PIP_INDEX_URL='https://pip.example/simple')
    assert (tmp_path / 'called').read_text().startswith('https://pip.example/simple ')
    make(PIP_INDEX_URL='https://pip.example/simple', UV_DEFAULT_INDEX='https://uv.example/simple')
    assert (tmp_path / 'called').read_text().startswith('https://uv.example/simple ')


def test_cuda_operators_are_a_wheel_of_their_own(make, venv, tmp_path):
    venv(CACHED)
    make()
    assert 'mmcv:cuda' not in (tmp_path / 'called').read_text()
    make(FORCE_CUDA='1')
    assert ' --config-settings-package mmcv:cuda=1\n' in (tmp_path / 'called').read_text()
