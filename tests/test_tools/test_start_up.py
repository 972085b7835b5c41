"""Tools answer --help, wrong arguments and missing files before heavy imports."""

import subprocess
import sys

import pytest

# what takes seconds to import
HEAVY = ('torch', 'mmcv', 'mmagic', 'mmseg', 'slnp_mm')
SCRIPT = f"""
import runpy, sys
sys.path.insert(0, 'tools')
sys.argv.pop(0)
code = 0
try:
    runpy.run_path('tools/' + sys.argv[0], run_name='__main__')
except SystemExit as stop:
    code = stop.code
print('code', code, 'loaded', [name for name in {HEAVY} if name in sys.modules])
"""
TOOLS = 'train test generate painter score train_scorer make_toyscenes check_dataset'


def run(*words):
    command = [sys.executable, '-c', SCRIPT, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize('tool', [*TOOLS.split(), 'export'])
def test_help_imports_nothing_heavy(tool, repository):
    said = run(f'{tool}.py', '--help')
    assert 'usage:' in said and said.endswith('code 0 loaded []\n')


@pytest.mark.parametrize(
    'words, sentence',
    [
        (('train.py', 'nope.py'), 'error: no config at nope.py: runnable ones are configs/*.py'),
        (('test.py', 'configs/slnp_toy.py', 'no'), 'error: no checkpoint at no: train one with'),
        (
            ('score.py', '--compare', 'a', 'b'),
            'error: no report at a: write one with tools/score.py',
        ),
        (('score.py', 'c.py', '--images', 'no'), 'error: no folder of images at no: check'),
        (('train_scorer.py', 'nope.py'), 'error: no config at nope.py'),
        (('painter.py', 'nope.py', 'x.pth'), 'error: no config at nope.py'),
        (('painter.py', 'configs/slnp_toy.py', 'x.pth'), 'error: no checkpoint at x.pth'),
        (('make_toyscenes.py', '--out', 'setup.py'), 'error: setup.py is a file, but --out='),
        (
            ('train.py', 'configs/slnp_toy.py', '--cfg-options', 'log_level.x=1'),
            'error: --cfg-options log_level.x does not fit configs/slnp_toy.py: ',
        ),
    ],
)
def test_missing_files_are_named_before_heavy_imports(words, sentence, repository):
    said = run(*words)
    assert sentence in said and said.endswith('code 1 loaded []\n')


def test_networks_are_imported_when_a_model_is_looked_up_and_mmseg_when_one_is_scored():
    """Tools without one (check_dataset, make_toyscenes, score --compare) go without diffusers."""
    script = (
        'import sys, slnp_mm\n'
        'late = ("mmagic.models", "diffusers", "slnp_mm.models", "pycocotools")\n'
        'assert not [name for name in late if name in sys.modules]\n'
        'from mmagic.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS\n'
        'assert DATASETS.get("SLNPDataset") and TRANSFORMS.get("SLNPFlip")\n'
        'assert not [name for name in late if name in sys.modules]\n'
        'METRICS.build(dict(type="SLNPSegMetric", scorer=dict(config="x.py")))\n'
        'assert HOOKS.get("SLNPVisualizationHook") and "mmseg" not in sys.modules\n'
        'assert MODELS.get("SLNPGAN") is sys.modules["slnp_mm.models"].SLNPGAN\n'
    )
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
