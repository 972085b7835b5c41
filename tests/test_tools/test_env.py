"""``make env``: which Python, what is missing, what is told. No network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BROKEN = 'echo not activated >&2; exit 127'


class Machine:
    """A bare machine: what is on PATH, an environment, and what was called last."""

    def __init__(self, folder):
        self.path, self.venv, self.log = folder / 'path', folder / 'venv', folder / 'called'
        self.path.mkdir()
        os.symlink(shutil.which('sh'), self.path / 'sh')

    def script(self, path, body):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\n{body}\n')
        path.chmod(0o755)

    def add_python(self, version):
        """Add one that knows its version, notes any other call and then fails."""
        check = f'exec {sys.executable} -c "import sys; sys.version_info = ({version}); ${{2#*;}}"'
        name = 'python' + version.replace(', ', '.')
        self.script(self.path / name, f'[ "$1" = -c ] && {check}; echo "$@" >{self.log}; exit 1')

    def add_environment(self, finished):
        """Add one whose uv notes a call that may use the network, with what it was told."""
        told = f'echo "$UV_DEFAULT_INDEX $* $(exec {shutil.which("cat")})" >{self.log}'
        body = f'case "$*" in *--offline*) exit {0 if finished else 2};; *) {told};; esac'
        self.script(self.venv / 'bin/uv', body)
        self.script(self.venv / 'bin/python', f'exec {sys.executable} "$@"')

    def make(self, *args, **env):
        words = ['--no-print-directory', '-C', ROOT, 'env', f'VENV={self.venv}', *args]
        env = {'PATH': str(self.path), **env}
        options = dict(env=env, capture_output=True, text=True, timeout=600)
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


NEEDS = 'Python 3.10, 3.11 or 3.12 is needed, and'
INSTALL = (
    'install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name one: '
    'make env PYTHON=/path/to/python3.11'
)


@pytest.mark.parametrize('version', [None, '3, 9', '3, 13'])
def test_no_python_is_one_sentence(machine, version):
    if version:
        machine.add_python(version)
        (found,) = machine.path.glob('python*')
        found.rename(machine.path / 'python3')
    machine.refuse(f'{NEEDS} none of them is on PATH; {INSTALL}')


def test_wrong_python_is_one_sentence(machine):
    machine.add_python('3, 9')
    machine.add_python('3, 12')
    machine.script(machine.path / 'broken', BROKEN)
    for name in ('python3.9', 'broken'):
        sentence = f'{NEEDS} PYTHON={name} is none of them; {INSTALL}'
        machine.refuse(sentence, f'PYTHON={name}')


def test_python_that_does_not_run_is_passed_over_and_a_half_made_environment_finished(machine):
    machine.script(machine.path / 'python3.11', BROKEN)
    machine.add_python('3, 12')
    machine.venv.mkdir()
    (machine.venv / 'pyvenv.cfg').touch()
    machine.make()
    assert machine.called() == f'-m venv {machine.venv}\n'


def test_environment_of_another_python_is_refused(machine):
    machine.add_environment(finished=True)
    machine.script(machine.path / 'other', 'echo Python 3.12.99')
    machine.refuse(
        f'the Python of {machine.venv} is not that of PYTHON=other; '
        f'remove it (rm -r {machine.venv}) or choose another place with VENV=',
        'PYTHON=other',
    )


@pytest.mark.parametrize('finished', [False, True])
def test_locked_set_and_the_package_are_installed_unless_they_are_there(machine, finished):
    machine.add_environment(finished)
    done = machine.make()
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    python = machine.venv / 'bin/python'
    words = f'pip install --python {python} --no-deps -r requirements/lock.txt -r - -e .\n'
    assert machine.called() is None if finished else machine.called().endswith(words)


def test_uv_uses_pips_index_unless_it_has_its_own(machine):
    machine.add_environment(finished=False)
    machine.make(PIP_INDEX_URL='https://pip.example/simple')
    assert machine.called().startswith('https://pip.example/simple ')
    machine.make(PIP_INDEX_URL='https://pip.example/simple', UV_DEFAULT_INDEX='https://uv.example/')
    assert machine.called().startswith('https://uv.example/ ')
    (machine.venv / 'pip.conf').write_text('[global]\nindex-url = https://conf.example/simple\n')
    machine.make(PIP_CONFIG_FILE=str(machine.venv / 'pip.conf'))
    assert machine.called().startswith('https://conf.example/simple ')
