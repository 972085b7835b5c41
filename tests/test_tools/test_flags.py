"""The tools take the options of mmagic's own train and test tools."""

import re
from pathlib import Path

import mmagic
import pytest

THEIRS = Path(mmagic.__file__).parent / '.mim' / 'tools'


SHARED = ['--work-dir', 'w', '--launcher', 'slurm', '--local-rank', '2']
SHARED += ['--cfg-options', 'a.b=1', 'c=[1,2]', 'd=x,y']
EXPECTED = dict(
    config='c.py',
    work_dir='w',
    launcher='slurm',
    local_rank=2,
    cfg_options={'a.b': 1, 'c': [1, 2], 'd': ['x', 'y']},
)


@pytest.mark.parametrize(
    'name, words, own',
    [
        (
            'train',
            ['--resume', '--amp', '--auto-scale-lr', '--cuda-graph'],
            dict(
                resume=True,
                amp=True,
                auto_scale_lr=True,
                tensorboard=False,
                wandb=False,
                cuda_graph=True,
            ),
        ),
        (
            'test',
            ['a.pth', '--out', 'x.json'],
            dict(checkpoint='a.pth', out='x.json', num_images=0),
        ),
    ],
)
def test_mmagics_options_are_taken(name, words, own, load_tool):
    assert vars(load_tool(name, 'c.py', *words, *SHARED).parse_args()) == {**EXPECTED, **own}


@pytest.mark.parametrize('name', ['train', 'test'])
@pytest.mark.skipif(not THEIRS.is_dir(), reason="mmagic's tools are missing")
def test_no_option_of_mmagics_tool_is_missing(name, load_tool, capsys):
    theirs = set(re.findall(r"'(--[a-z_-]+)'", (THEIRS / f'{name}.py').read_text()))
    with pytest.raises(SystemExit):
        load_tool(name, '--help').parse_args()
    ours = set(re.findall(r'--[a-z_-]+', capsys.readouterr().out))
    assert len(theirs) >= 5
    assert theirs <= ours
