"""The queue of runs, its resuming, and its reports."""

import json
import sys
import time

import _study as study
import _study_report as study_report
import pytest

from slnp_mm.errors import SLNPError

# Stands in for tools/train.py: logs a curve that falls by the seed's pace.
TRAIN = """
import json, pathlib, sys, time
words = sys.argv[1:]
folder = pathlib.Path(words[words.index('--work-dir') + 1])
options = dict(w.split('=') for w in words[words.index('--cfg-options') + 1:])
with open(folder / 'calls', 'a') as file:
    file.write(' '.join(words) + chr(10))
(folder / 'last_checkpoint').write_text('iter_1.pth')
if options.get('sleep') and '--resume' not in words:
    time.sleep(60)
if options.get('fail'):
    sys.exit('no luck')
calls = len((folder / 'calls').read_text().splitlines())
log = folder / str(calls) / 'vis_data' / 'scalars.json'
log.parent.mkdir(parents=True)
pace = float(options['pace']) + int(options['randomness.seed'])
rows = [dict(iter=i, loss_g=max(0.0, 20 - pace * i)) for i in range(40)]
rows.append(dict(score=float(options['randomness.seed']), step=40))
log.write_text(chr(10).join(json.dumps(row) for row in rows))
"""


@pytest.fixture
def make(tmp_path):
    """Make a study of two variants and two seeds with the fake trainer."""
    tool = tmp_path / 'train.py'
    tool.write_text(TRAIN)
    config = tmp_path / 'config.py'
    config.write_text('')

    def build(**second):
        path = tmp_path / 'trial.json'
        path.write_text(json.dumps(dict(
            seeds=[0, 1],
            cfg_options=dict(pace=1),
            variants=dict(
                slow=dict(config=str(config)),
                fast=dict(config=str(config),
                          cfg_options={'pace': 4, **second}),
            ),
            curves=dict(loss_g='G'),
            plateau=dict(window=1),
        )))  # fmt: skip
        return study.load_study(path, tmp_path / 'studies'), str(tool)

    return build


def calls(run):
    path = run.work_dir / 'calls'
    return path.read_text().splitlines() if path.is_file() else []


def test_every_seed_of_each_variant_is_run_once(make):
    found, tool = make()
    assert [run.name for run in found.runs] == [
        'slow/seed0', 'fast/seed0', 'slow/seed1', 'fast/seed1',
    ]  # fmt: skip
    assert study.run_queue(found, list(found.runs), None, tool) == []
    assert study.run_queue(found, list(found.runs), None, tool) == []
    for run in found.runs:
        (call,) = calls(run)
        assert '--resume' not in call
        assert f'randomness.seed={run.seed}' in call
        pace = 4 if run.variant == 'fast' else 1
        assert f'pace={pace}' in call.split()
        report = json.loads(run.report_path.read_text())
        assert report['metrics'] == dict(score=run.seed)
        assert report['curves'] == ['1/vis_data/scalars.json']
        assert report['attempts'] == 1 and report['wall_seconds'] > 0
        assert {'torch', 'slnp_mm'} <= set(report['versions'])
        assert report['command'].startswith('python ')


def test_run_without_report_is_resumed(make):
    found, tool = make()
    run = found.runs[0]
    study.execute(run, None, tool)
    run.report_path.unlink()
    assert run.state == 'started'
    assert study.execute(run, None, tool) == 'done'
    assert '--resume' in calls(run)[1]
    assert json.loads(run.report_path.read_text())['attempts'] == 2


def test_budget_stops_a_run_which_goes_on_next_time(make):
    found, tool = make(sleep='yes')
    fast = [run for run in found.runs if run.name == 'fast/seed0']
    start = time.monotonic()
    assert study.run_queue(found, fast, 3 / 60, tool) == []
    assert time.monotonic() - start < 20
    assert fast[0].state == 'started'
    assert study.run_queue(found, fast, 1, tool) == []
    assert fast[0].state == 'done'


def test_failed_run_is_named_and_the_queue_goes_on(make, capsys):
    found, tool = make(fail='yes')
    assert study.run_queue(found, list(found.runs), None, tool) == [
        'fast/seed0', 'fast/seed1',
    ]  # fmt: skip
    assert 'fast/seed1/output.log' in capsys.readouterr().out
    log = (found.runs[1].work_dir / 'output.log').read_text()
    assert 'no luck' in log
    assert found.runs[2].state == 'done'


def test_progress_tells_what_is_done_and_left(make, capsys):
    found, tool = make()
    study.run_queue(found, list(found.runs), None, tool)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'trial: 0 of 4 done; now slow/seed0 (waiting)'
    assert lines[2].startswith('trial: 1 of 4 done, about 0 minutes left')


def test_second_study_is_refused_while_one_runs(tmp_path):
    with study.one_at_a_time(tmp_path):
        with pytest.raises(SLNPError, match='another study is running'):
            with study.one_at_a_time(tmp_path):
                pass
    with study.one_at_a_time(tmp_path):
        pass


def test_tables_hold_mean_and_spread_over_seeds(make):
    found, tool = make()
    study.run_queue(found, list(found.runs), None, tool)
    row = study_report.metric_table(found).splitlines()[2]
    assert row.startswith('| slow | 2 | 0.5 ± 0.71 |')
    # slow: 20 - t is within 2 of the level 0 from t = 18 on, and for the
    # second seed 20 - 2 t from t = 9 on.
    rows = study_report.plateau_rows(found)
    assert rows[0]['iterations'] == [18, 9]
    # From there on: 2, 1 and 20 zeros; 2 and 30 zeros. Variance by hand:
    # 5/22 - (3/22)^2 and 4/31 - (2/31)^2.
    assert rows[0]['levels'] == pytest.approx([3 / 22, 2 / 31])
    variances = [5 / 22 - (3 / 22) ** 2, 4 / 31 - (2 / 31) ** 2]
    assert rows[0]['variances'] == pytest.approx(variances)
    lines = study_report.plateau_table(found).splitlines()
    assert lines[0].endswith(
        '| iterations to it | level | variance after | variance of the last quarter |'
    )
    assert lines[2] == (
        '| slow | G | 2 of 2 | 13.5 ± 6.4 | 0.1004 ± 0.051 | 0.1668 ± 0.059 | 0 ± 0 |'
    )


def test_table_says_how_many_seeds_reached_no_plateau(make):
    found, tool = make(pace=0.1)  # 20 - 1.1 t is below 2 from t = 17
    study.run_queue(found, list(found.runs), None, tool)
    rows = study_report.plateau_rows(found)
    assert (rows[1]['variant'], rows[1]['iterations']) == ('fast', [17])
    only = study.Study('trial', (found.runs[1],), (), found.curves, found.plateau)
    (line,) = study_report.plateau_table(only).splitlines()[2:]
    # the last 10 points fall by 0.1 each: 0.1^2 (10^2 - 1) / 12
    assert line == '| fast | G | 0 of 1 | - | - | - | 0.0825 ± 0 |'


def test_plot_is_written_whole(make, tmp_path):
    found, tool = make()
    study.run_queue(found, list(found.runs[:3]), None, tool)
    picture = tmp_path / 'plots' / 'trial.png'
    study_report.plot(found, picture)
    assert picture.read_bytes()[:4] == b'\x89PNG'
    assert [p.name for p in picture.parent.iterdir()] == ['trial.png']


def test_band_of_the_plot_is_one_deviation_around_the_mean(make, tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    bands = []
    monkeypatch.setattr(
        Axes,
        'fill_between',
        lambda self, steps, low, high, **kw: bands.append((steps, low, high)),
    )
    found, tool = make()
    study.run_queue(found, list(found.runs), None, tool)
    study_report.plot(found, tmp_path / 'trial.png')
    (steps, low, high), _ = bands
    # slow at iteration 5: 20 - 5 and 20 - 10, mean 12.5, deviation 5 / sqrt 2
    assert steps.tolist() == list(range(40))
    assert low[5] == pytest.approx(12.5 - 5 / 2**0.5)
    assert high[5] == pytest.approx(12.5 + 5 / 2**0.5)


def test_report_of_a_study_without_runs_says_so(make):
    found, _ = make()
    with pytest.raises(SLNPError, match='no finished run yet'):
        study_report.metric_table(found)


def test_prepare_runs_what_is_missing_only(make, tmp_path):
    found, _ = make()
    made = tmp_path / 'made'
    code = f"open({str(made)!r}, 'a').write('x')"
    step = dict(makes=str(made), command=f'python -c "{code}"')
    ready = study.Study('trial', found.runs, (step, step))
    root = tmp_path / 'studies'
    study.prepare(ready, root)
    assert made.read_text() == 'x'
    assert not list(root.glob('*.unfinished'))
    bad = dict(makes=str(tmp_path / 'other'), command='python -c "1"')
    with pytest.raises(SLNPError, match='expected .*other from'):
        study.prepare(study.Study('trial', found.runs, (bad,)), root)


def test_prepare_stopped_half_way_is_run_again(make, tmp_path, monkeypatch):
    found, _ = make()
    made, root = tmp_path / 'last_checkpoint', tmp_path / 'studies'
    code = f"open({str(made)!r}, 'a').write('x')"
    step = dict(makes=str(made), command=f'python -c "{code}"')
    ready = study.Study('trial', found.runs, (step,))

    def stop(words, **options):
        made.write_text('half')
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(study.subprocess, 'run', stop)
        with pytest.raises(KeyboardInterrupt):
            study.prepare(ready, root)
    study.prepare(ready, root)
    assert made.read_text() == 'halfx'
    study.prepare(ready, root)
    assert made.read_text() == 'halfx'


@pytest.mark.parametrize(
    'value, text',
    [
        (3, '3'), (1e-4, '0.0001'), (True, 'True'), (None, 'None'),
        ((0.9, 0.999), '(0.9,0.999)'), ([1, 'a'], '[1,a]'),
    ],
)  # fmt: skip
def test_option_text_is_what_mmengine_reads_back(value, text):
    from mmengine.config import DictAction

    assert study.option_text(value) == text
    assert DictAction._parse_iterable(text) == value


@pytest.mark.parametrize('value', ['a b', 'a,b', {}, [dict(a=1)]])
def test_option_text_refuses_what_cannot_be_given(value):
    with pytest.raises(SLNPError, match='write a config for it'):
        study.option_text(value)


@pytest.mark.parametrize(
    'content, text',
    [
        (dict(seeds=[0]), "lacks \\['variants'\\]"),
        (dict(seeds=[0], variants={}, seed=1), "unknown \\['seed'\\]"),
        (dict(seeds=[0], variants=dict(a=dict(config='no.py'))),
         'no config at no.py'),
    ],
)  # fmt: skip
def test_bad_study_file_raises(content, text, tmp_path):
    path = tmp_path / 'bad.json'
    path.write_text(json.dumps(content))
    with pytest.raises(SLNPError, match=text):
        study.load_study(path)


def test_command_uses_this_python(make):
    found, tool = make()
    assert found.runs[0].command(tool)[0] == sys.executable
