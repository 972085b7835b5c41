"""Tools answer --help, wrong arguments and missing files before heavy imports."""

import json
import subprocess
import sys

import pytest

# what takes seconds to import
HEAVY = ('torch', 'mmcv', 'mmagic', 'mmseg', 'slnp_mm')
SCRIPT = f"""
import contextlib, io, json, runpy, sys
sys.path.insert(0, 'tools')
found = {{}}
for line in sys.argv[1:]:
    sys.argv, code = line.split(), 0
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
        try:
            runpy.run_path('tools/' + sys.argv[0], run_name='__main__')
        except SystemExit as stop:
            code = stop.code
    found[line] = said.getvalue(), code, [name for name in {HEAVY} if name in sys.modules]
print(json.dumps(found))
"""
TOOLS = 'train test generate painter score train_scorer make_toyscenes check_dataset export'
HELP = [f'{tool}.py --help' for tool in TOOLS.split()]
MISSING = {
    'train.py nope.py': 'no config at nope.py: runnable ones are configs/*.py',
    'test.py configs/slnp_toy.py no': 'no checkpoint at no: train one with',
    'score.py --compare a b': 'no report at a: write one with tools/score.py',
    'score.py c.py --images no': 'no folder of images at no: check',
    'train_scorer.py nope.py': 'no config at nope.py',
    'painter.py nope.py x.pth': 'no config at nope.py',
    'painter.py configs/slnp_toy.py x.pth': 'no checkpoint at x.pth',
    'make_toyscenes.py --out setup.py': 'setup.py is a file, but --out=',
    'train.py configs/slnp_toy.py --cfg-options log_level.x=1': (
        '--cfg-options log_level.x does not fit configs/slnp_toy.py: '
    ),
}


@pytest.fixture(scope='module')
def answers(tiny):
    """What each command says, its exit code, and what it has imported; all in one process."""
    command = [sys.executable, '-c', SCRIPT, *HELP, *MISSING]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tiny.ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize('words', HELP)
def test_help_imports_nothing_heavy(words, answers):
    said, code, loaded = answers[words]
    assert 'usage:' in said and (code, loaded) == (0, [])


@pytest.mark.parametrize('words, sentence', MISSING.items())
def test_missing_files_are_named_before_heavy_imports(words, sentence, answers):
    said, code, loaded = answers[words]
    assert f'error: {sentence}' in said and (code, loaded) == (1, [])
