"""``make env``: which Python, what is missing, what is told. No network."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ('sh', 'awk', 'nproc', 'cat', 'ls', 'grep')
SHORT = '{}.{}'.format(*sys.version_info)
FIRST_TIME = (
    "the first time this downloads 3 GB and compiles mmcv's operators, which takes about ten "
    'minutes on two cores\n'
)
CACHED = 'Would install 2 packages\n + mmcv==2.1.0\n + torch==2.11.0'
TO_BUILD = f'Would download 1 package\n{CACHED}'
BROKEN = 'echo not activated >&2; exit 127'


class Machine:
    """A bare machine: what is on PATH, an environment, and what was called last."""

    def __init__(self, folder):
        self.path, self.venv, self.log = folder / 'path', folder / 'venv', folder / 'called'
        self.path.mkdir()
        for name in NEEDED:
            os.symlink(shutil.which(name), self.path / name)

    def script(self, path, body):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\n{body}\n')
        path.chmod(0o755)

    def add_python(self, version):
        """Add one that says its version, notes any other call and then fails."""
        body = f'case "$1" in -c) echo {version};; *) echo "$@" >{self.log}; exit 1;; esac'
        self.script(self.path / f'python{version}', body)

    def add_environment(self, plan):
        """Add one whose uv notes its call and plans ``plan``."""
        log = f'echo "$UV_DEFAULT_INDEX $MAX_JOBS $*" >{self.log}'
        body = f'case "$*" in *--dry-run*) echo \'{plan}\';; *) {log};; esac'
        self.script(self.venv / 'bin/uv', body)
        self.script(self.venv / 'bin/python', f'exec {sys.executable} "$@"')

    def make(self, *args, **env):
        words = ['--no-print-directory', '-C', ROOT, 'env', f'VENV={self.venv}', *args]
        env = {'PATH': str(self.path), **env}
        options = dict(env=env, capture_output=True, text=True, timeout=60)
        return subprocess.run([shutil.which('make'), *words], **options)

    def called(self):
        return self.log.read_text() if self.log.exists() else None

    def refuse(self, sentence, *args):
        """``make env`` ends with a sentence before it does anything."""
        done = self.make(*args)
        assert done.returncode and done.stderr.splitlines()[0] == f'error: {sentence}'
        assert not self.called()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


NEEDS = 'Python 3.10, 3.11 or 3.12 is needed, but'
INSTALL = (
    'install one (Debian, Ubuntu: apt-get install python3 python3-venv python3-dev) or name one: '
    'make env PYTHON=/path/to/python3.11'
)


def test_no_python_is_one_sentence(machine):
    machine.refuse(f'{NEEDS} none is on PATH; {INSTALL}')


@pytest.mark.parametrize('body', ['echo 3.8', BROKEN])
def test_wrong_python_is_one_sentence(machine, body):
    machine.script(machine.path / 'old', body)
    sentence = f'{NEEDS} PYTHON=old is another or does not run; {INSTALL}'
    machine.refuse(sentence, 'PYTHON=old')


def test_python_that_does_not_run_is_passed_over(machine):
    machine.script(machine.path / 'python3.11', BROKEN)
    machine.add_python('3.12')
    machine.make()
    assert machine.called() == f'-m venv {machine.venv}\n'


def test_environment_of_another_or_a_vanished_python_is_refused(machine):
    machine.add_environment('')
    machine.script(machine.path / 'other', 'echo 3.99')
    venv = machine.venv
    remedy = f'remove it (rm -r {venv}) or choose another place with VENV='
    sentence = f'the Python of {venv} is {SHORT} and not that of PYTHON=other; {remedy}'
    machine.refuse(sentence, 'PYTHON=other')

    (venv / 'bin/python').unlink()
    os.symlink('/gone/python3.11', venv / 'bin/python')
    machine.refuse(f'the Python of {venv} is gone; {remedy}')


def test_other_folder_is_not_taken_for_an_environment_but_a_half_made_one_is_finished(machine):
    machine.add_python('3.11')
    machine.venv.mkdir()
    (machine.venv / 'thesis.txt').touch()
    sentence = f'{machine.venv} is no virtual environment; choose another place with VENV='
    machine.refuse(sentence)
    (machine.venv / 'pyvenv.cfg').touch()
    machine.make()
    assert machine.called() == f'-m venv {machine.venv}\n'


@pytest.mark.parametrize('known', ['exit 1', 'grep -q "<Python.h>" && exit 1; exit 0'])
def test_missing_compiler_or_headers_is_one_sentence(machine, known):
    machine.add_environment(TO_BUILD)
    machine.script(machine.path / 'c++', known)
    machine.refuse(
        "compiling mmcv needs a C++ compiler and Python's headers, but c++ is missing or finds no "
        f'{sysconfig.get_path("include")}/Python.h; install them (Debian, Ubuntu: apt-get install '
        f'g++ python{SHORT}-dev)'
    )


def test_long_build_is_told_before_it_starts(machine):
    machine.add_environment(TO_BUILD)
    machine.script(machine.path / 'c++', 'cat >/dev/null')
    done = machine.make(MAX_JOBS='7')
    assert (done.returncode, done.stdout) == (0, FIRST_TIME)
    assert ' 7 pip install ' in machine.called()


def test_wheel_in_the_cache_needs_no_compiler_and_that_for_cuda_is_its_own(machine):
    machine.add_environment(CACHED)
    done = machine.make()
    assert (done.returncode, done.stdout) == (0, '')
    assert 'mmcv:cuda' not in machine.called()
    machine.make(FORCE_CUDA='1')
    assert ' --config-settings-package mmcv:cuda=1\n' in machine.called()


def test_finished_environment_is_left_alone(machine):
    machine.add_environment('Checked 2 packages in 5ms\nWould make no changes')
    done = machine.make()
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    assert machine.called() is None


def test_uv_uses_pips_index_unless_it_has_its_own(machine):
    machine.add_environment(CACHED)
    machine.make(PIP_INDEX_URL='https://pip.example/simple')
    assert machine.called().startswith('https://pip.example/simple ')
    machine.make(PIP_INDEX_URL='https://pip.example/simple', UV_DEFAULT_INDEX='https://uv.example/')
    assert machine.called().startswith('https://uv.example/ ')
