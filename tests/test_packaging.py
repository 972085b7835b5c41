"""The package description and the lock agree, and stay light."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
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
@pytest.mark.parametrize(
    'name', [path.name for path in sorted(ROOT.glob('requirements/*.txt')) if path.stem != 'lock']
)
def test_lock_holds_what_is_required(python, name):
    pins = _pins(python)
    for item in _requirements(name):
        if item.name == 'opencv-python':  # the headless one stands for it
            item.name = 'opencv-python-headless'
        assert item.name in pins
        assert item.specifier.contains(pins[item.name]), str(item)


def test_style_check_before_a_commit_is_the_locked_one():
    line = 'rev: v{ruff}\n'.format_map(_pins('3.11'))
    assert line in (ROOT / '.pre-commit-config.yaml').read_text()


@pytest.mark.parametrize('python', PYTHONS)
def test_lock_needs_no_compiler_and_leaves_out_what_nothing_imports(python):
    pins = _pins(python)
    assert [name for name in pins if 'opencv' in name] == ['opencv-python-headless']
    assert pins['mmcv-lite'] == Version('2.1.0') and 'mmcv' not in pins
    unused = 'av face-alignment facexlib jax jaxlib llvmlite lmdb mediapipe numba'
    assert not {*unused.split()} & {*pins}


SETUP = """
import runpy, sys, setuptools
def setup(name, version, python_requires, install_requires, extras_require, **more):
    print(name, version, python_requires)
    print([line for line in install_requires if 'mmcv' in line], extras_require['lite'])
setuptools.setup = setup
runpy.run_path('setup.py')
print([name for name in ('torch', 'numpy', 'mmengine', 'slnp_mm') if name in sys.modules])
"""


def test_setup_reads_the_packages_version_and_imports_nothing_heavy():
    import slnp_mm

    text = (ROOT / 'slnp_mm' / 'version.py').read_text()
    assert f"__version__ = '{slnp_mm.__version__}'" in text
    done = _run('-c', SETUP, check=True, cwd=ROOT)
    lines = [f'slnp_mm {slnp_mm.__version__} >=3.10,<3.13', "[] ['mmcv-lite>=2.1.0,<2.2']", '[]']
    assert done.stdout.splitlines() == lines


def _run(*words, **options):
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, **options
    )


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """A folder into which the wheel of a copy of the sources is installed."""
    folder = tmp_path_factory.mktemp('wheel')
    source, pip = folder / 'source', ('-m', 'pip', '--disable-pip-version-check')
    ignored = ('.*', 'data', 'work_dirs', 'build', '*.egg-info', '__pycache__')
    shutil.copytree(ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(*ignored))
    shutil.copytree(ROOT / 'slnp_mm/.mim', source / 'slnp_mm/.mim', symlinks=True)
    before = sorted(source.rglob('*'))
    done = _run(*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', folder, source)
    assert done.returncode == 0, done.stderr
    made = {path.relative_to(source).parts[0] for path in {*source.rglob('*')}.difference(before)}
    assert made <= {'build', 'slnp_mm.egg-info'}
    (wheel,) = folder.glob('*.whl')
    done = _run(*pip, 'install', '--no-deps', '--target', folder / 'site', wheel)
    assert done.returncode == 0, done.stderr
    return folder / 'site'


@pytest.mark.slow
def test_wheel_holds_the_package_configs_and_tools(installed):
    (wheel,) = installed.parent.glob('*.whl')
    assert wheel.stat().st_size < 60e6
    for path in (ROOT / 'slnp_mm').rglob('*.*'):
        if path.suffix != '.pyc' and path.is_file():
            assert (installed / path.relative_to(ROOT)).is_file()
    mim = installed / 'slnp_mm/.mim'
    found = {str(path.relative_to(mim)) for path in mim.rglob('*.*') if path.suffix != '.pyc'}
    expected = {'model-index.yml'}
    for folder, place in (('tools', 'tools'), ('configs', 'configs/configs')):
        files = [path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob('*.*')]
        expected |= {f'{place}/{path}' for path in files if path.suffix != '.pyc'}
    assert found == expected


USE = """
import runpy, sys
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope
import slnp_mm, torch
from slnp_mm.evaluation.scorers import DeepLabV3Scorer

cfg = get_config('slnp_mm::configs/slnp_coco_plus.py')
init_default_scope('mmagic')
cfg.model._scope_ = 'slnp_mm'  # as mmengine writes into a base
with torch.device('meta'):
    print(type(MODELS.build(cfg.model)).__module__, slnp_mm.__file__)
try:
    DeepLabV3Scorer('configs/scorers/deeplabv3_toy.py')
except ValueError as error:
    print(error)
tools = slnp_mm.__path__[0] + '/.mim/tools'
sys.path.insert(0, tools)
sys.argv = ['train.py', 'mine.py']
runpy.run_path(tools + '/train.py', run_name='__main__')
"""
MINE = """
_base_ = 'slnp_mm::configs/slnp_toy_plus.py'
model = dict(noise='random', code_share=0.0, discriminator=dict(type='SLNPDiscriminator'))
"""


@pytest.mark.slow
def test_wheel_is_used_outside_the_repository(installed, tmp_path):
    """mmengine finds our configs; a training on one of them starts, and misses its data."""
    env = {**os.environ, 'PYTHONPATH': str(installed)}
    (tmp_path / 'mine.py').write_text(MINE)
    done = _run('-W', 'ignore', '-c', USE, env=env, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert f'slnp_mm.models.slnp_gan {installed}/slnp_mm/__init__.py\n' in done.stdout
    assert 'tools/train_scorer.py configs/scorers/deeplabv3_toy.py' in done.stdout
    assert done.stderr.splitlines()[-1].startswith('error: ') and 'data/toyscenes' in done.stderr


def test_model_index_lists_every_runnable_config():
    mim = ROOT / 'slnp_mm/.mim'
    (place,) = yaml.safe_load((mim / 'model-index.yml').read_text())['Import']
    models = yaml.safe_load((mim / place).read_text())['Models']
    assert {model['Config'] for model in models} == {
        f'configs/configs/{path.name}' for path in (ROOT / 'configs').glob('*.py')
    }
    assert all(model['Config'].endswith(f'/{model["Name"]}.py') for model in models)
