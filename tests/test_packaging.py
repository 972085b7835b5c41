"""The package description and the lock agree, and stay light."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ('3.10', '3.11', '3.12')


def _requirements(name):
    text = (ROOT / 'requirements' / name).read_text()
    lines = (line.split('#')[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def _pins(python):
    """Version of each package of the lock for one Python."""
    env = {'python_full_version': f'{python}.5', 'python_version': python}
    env.update(sys_platform='linux', platform_machine='x86_64')
    pins = {}
    for item in _requirements('lock.txt'):
        if item.marker is None or item.marker.evaluate(env):
            assert item.name not in pins, f'{item.name} is pinned twice'
            (spec,) = item.specifier
            assert spec.operator == '=='
            pins[item.name] = Version(spec.version)
    return pins


@pytest.mark.parametrize('python', PYTHONS)
@pytest.mark.parametrize('name', ['runtime.txt', 'tests.txt', 'lint.txt', 'build.txt'])
def test_lock_holds_what_is_required(python, name):
    pins = _pins(python)
    for item in _requirements(name):
        if item.name == 'opencv-python':  # the headless one stands for it
            item.name = 'opencv-python-headless'
        assert item.name in pins
        assert item.specifier.contains(pins[item.name]), str(item)


@pytest.mark.parametrize('python', PYTHONS)
def test_only_one_opencv_is_locked(python):
    assert [name for name in _pins(python) if 'opencv' in name] == ['opencv-python-headless']


def test_mmcv_is_described_as_it_is_locked():
    text = (ROOT / 'pyproject.toml').read_text()
    assert f'name = "mmcv"\nversion = "{_pins("3.11")["mmcv"]}"\n' in text


def test_setup_imports_nothing_heavy():
    code = (
        'import sys, setuptools; setuptools.setup = lambda **k: print('
        'k["name"], k["version"], k["python_requires"]);'
        f'exec(compile(open({str(ROOT / "setup.py")!r}).read(), '
        f'{str(ROOT / "setup.py")!r}, "exec"));'
        'print([m for m in ("torch", "numpy", "mmengine", "slnp_mm") '
        'if m in sys.modules])'
    )
    code = f'__file__ = {str(ROOT / "setup.py")!r}\n{code}'
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    version = re.search(r"'(.+)'", (ROOT / 'slnp_mm' / 'version.py').read_text()).group(1)
    assert done.stdout.splitlines() == [
        f'slnp_mm {version} >=3.10,<3.13',
        '[]',
    ]


def test_version_is_the_packages():
    import slnp_mm

    text = (ROOT / 'slnp_mm' / 'version.py').read_text()
    assert f"__version__ = '{slnp_mm.__version__}'" in text


def test_precommit_runs_the_locked_ruff():
    text = (ROOT / '.pre-commit-config.yaml').read_text()
    assert f'rev: v{_pins("3.11")["ruff"]}\n' in text


def test_data_files_of_the_package_are_installed():
    files = [
        path
        for path in (ROOT / 'slnp_mm').rglob('*')
        if path.is_file() and path.suffix not in ('.py', '.pyc', '.so')
    ]
    setup = (ROOT / 'setup.py').read_text()
    for path in files:
        assert f'*{path.suffix}' in setup, f'{path} is not in package_data'
