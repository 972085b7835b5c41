"""tools/study.py from the command line, and the study files."""

import importlib.util
import sys
from pathlib import Path

import _study as study
import pytest
from mmengine.config import Config

from slnp_mm.errors import SLNPError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(monkeypatch):
    """The tool as a module, called from the repository's root."""
    monkeypatch.chdir(ROOT)
    spec = importlib.util.spec_from_file_location('study_tool', ROOT / 'tools' / 'study.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(*words):
        monkeypatch.setattr(sys, 'argv', ['study.py', *words])
        return module.main()

    return call


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs' / 'studies').glob('*.py')),
    ids=lambda path: path.stem,
)  # fmt: skip
def test_study_file_fits_its_configs(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = study.load_study(path)
    assert len({run.work_dir for run in found.runs}) == len(found.runs)
    for run in found.runs[: len(found.variants)]:
        Config.fromfile(run.config).merge_from_dict(dict(run.options))


@pytest.mark.parametrize('data', ['toy', 'camvid'])
def test_optimizer_study_has_the_paper_rates_and_the_control(data, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = study.load_study(f'configs/studies/amm_vs_adam_{data}.py')
    expected = dict(
        AMM=('AMM', 1e-4, 4e-4), Adam=('Adam', 1e-4, 4e-4),
        Adam_10x=('Adam', 1e-3, 4e-3), AMM_one=('AMM', 1e-4, 4e-4),
    )  # fmt: skip
    for run in found.runs:
        cfg = Config.fromfile(run.config)
        cfg.merge_from_dict(dict(run.options))
        nets = [cfg.optim_wrapper[n].optimizer
                for n in ('generator', 'discriminator')]  # fmt: skip
        got = (nets[0].type, nets[0].lr, nets[1].lr)
        assert got == pytest.approx(expected[run.variant])
        first = 0.0 if run.variant == 'AMM_one' else 0.9
        assert all(tuple(n.betas) == (first, 0.999) for n in nets)
        assert cfg.model.gan_loss.gan_type == 'log'
    assert {run.seed for run in found.runs} == {0, 1, 2}


def test_list_prints_each_run(tool, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(study, 'ROOT', tmp_path)
    monkeypatch.setattr(study.load_study, '__defaults__', (tmp_path,))
    words = ['configs/studies/amm_vs_adam_toy.py', '--list', '--only']
    assert tool(*words, 'AMM', 'Adam/seed2') == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ['waiting', 'AMM/seed0'], ['waiting', 'AMM/seed1'],
        ['waiting', 'AMM/seed2'], ['waiting', 'Adam/seed2'],
    ]  # fmt: skip


def test_bad_arguments_are_refused(tool):
    path = 'configs/studies/amm_vs_adam_toy.py'
    with pytest.raises(SLNPError, match=r"got \['SGD'\]"):
        tool(path, '--list', '--only', 'SGD')
    with pytest.raises(SLNPError, match='above 0, but got -1'):
        tool(path, '--max-minutes', '-1')
    with pytest.raises(SLNPError, match='no study file at none.py'):
        tool('none.py', '--list')
