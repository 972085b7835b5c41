"""tools/study.py: the queue of runs, its resuming, its tables, and the committed figures."""

import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import study

REPOSITORY = Path(__file__).resolve().parents[2]
STUDIES = sorted((REPOSITORY / 'configs' / 'studies').glob('*.py'))

# Stands in for tools/train.py: logs a curve that falls by the seed's pace, and scores the seed.
TRAIN = """
import json, os, pathlib, sys, time
words = sys.argv[1:]
folder = pathlib.Path(words[words.index('--work-dir') + 1])
options = dict(w.split('=') for w in words[words.index('--cfg-options') + 1:])
seed = int(options['randomness.seed'])
with open(folder / 'calls', 'a') as file:
    file.write(' '.join(words) + ' threads=' + os.environ.get('OMP_NUM_THREADS', '') + chr(10))
(folder / 'pid').write_text(str(os.getpid()))
(folder / 'last_checkpoint').write_text('iter_1.pth')
if options.get('sleep') and '--resume' not in words:
    time.sleep(60)
if options.get('fail'):
    sys.exit('no luck')
calls = len((folder / 'calls').read_text().splitlines())
log = folder / str(calls) / 'vis_data' / 'scalars.json'
log.parent.mkdir(parents=True)
rows = [dict(iter=i, loss_g=max(0.0, 20 - (float(options['pace']) + seed) * i)) for i in range(40)]
log.write_text(chr(10).join(json.dumps(row) for row in rows))
report = dict(figures={'PA': 10.0 * seed}, protocol=dict(num_images=7), run=dict(iteration=39),
              per_class=[{'class': 'sky', 'IoU': 1.0, 'real/IoU': 2.0, 'Acc': 3.0}])
(folder / 'val_report.json').write_text(json.dumps(report))
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Make a study of two variants and two seeds with the fake trainer."""
    monkeypatch.setattr(study, 'ROOT', tmp_path / 'studies')
    monkeypatch.setattr(study, 'TRAIN_TOOL', str(tmp_path / 'train.py'))
    monkeypatch.setattr(study.cli, 'made_by', lambda: 'commit 1')
    study.ROOT.mkdir()
    (tmp_path / 'train.py').write_text(TRAIN)
    (tmp_path / 'config.py').write_text('')

    def build(second=None, **entries):
        config = str(tmp_path / 'config.py')
        fast = dict(config=config, cfg_options={'pace': 4, **(second or {})})
        variants = dict(slow=dict(config=config), fast=fast)
        content = dict(seeds=[0, 1], cfg_options=dict(pace=1), variants=variants, **entries)
        (tmp_path / 'trial.json').write_text(json.dumps(content))
        return study.load_study(str(tmp_path / 'trial.json'))

    return build


CURVES = dict(curves=dict(loss_g='G'), plateau=dict(window=1, tolerance=0.1, tail=0.25))


def calls(run):
    return (run.work_dir / 'calls').read_text().splitlines()


def test_every_seed_of_each_variant_is_run_once(make):
    _, runs = make()
    assert [run.name for run in runs] == ['slow/seed0', 'fast/seed0', 'slow/seed1', 'fast/seed1']
    assert study.run_all(runs) == []
    assert study.run_all(runs) == []
    for run in runs:
        (call,) = calls(run)
        assert '--resume' not in call and f'randomness.seed={run.seed}' in call
        # of two overrides of one key the later one counts
        assert re.findall('pace=(.)', call)[-1] == ('4' if run.variant == 'fast' else '1')
        assert run.note['finished'] and run.note['minutes'] > 0


def test_budget_stops_a_run_which_goes_on_next_time(make, capsys):
    _, runs = make(dict(sleep='yes'))
    run = runs[1]
    begun = time.monotonic()
    assert study.run_all([run], max_minutes=3 / 60) == []
    assert time.monotonic() - begun < 20
    assert 'fast/seed0: stopped' in capsys.readouterr().out and not run.note['finished']
    first = run.note['minutes']
    assert study.run_all([run]) == []
    assert run.note['finished'] and run.note['minutes'] > first
    assert '--resume' in calls(run)[1]


def test_a_signal_stops_the_trainings_under_way(make):
    _, runs = make(dict(sleep='yes'))
    slow, fast = runs[0], runs[1]
    study.cli.stop_like_ctrl_c()
    threading.Timer(3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            study.run_all([slow, fast], jobs=2)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert time.monotonic() - begun < 20
    assert slow.note['finished'] and not fast.note['finished']
    with pytest.raises(ProcessLookupError):
        os.kill(int((fast.work_dir / 'pid').read_text()), 0)


def test_two_jobs_run_side_by_side_with_one_thread_each(make, monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    _, runs = make(dict(sleep='yes'))
    begun = time.monotonic()
    study.run_all([runs[1], *runs[::2]], jobs=2, max_minutes=4 / 60)
    # the other two ran while it slept
    assert time.monotonic() - begun < 20
    assert [run.note['finished'] for run in runs[:3]] == [True, False, True]
    assert all('threads=1' in calls(run)[0] for run in runs[:3])


def test_failed_run_is_named_and_the_queue_goes_on(make, capsys):
    _, runs = make(dict(fail='yes'))
    assert study.run_all(runs) == ['fast/seed0', 'fast/seed1']
    out = capsys.readouterr().out
    assert '0 of 4 done; now slow/seed0' in out and '1 of 4 done; now fast/seed0' in out
    assert 'fast/seed1/output.log' in out
    assert 'no luck' in (runs[1].work_dir / 'output.log').read_text()
    assert runs[2].note['finished']


def test_figures_are_mean_and_deviation_over_seeds(make, tmp_path):
    content, runs = make()
    study.run_all(runs[:3])
    frame = study.gather(runs, [])
    assert frame.images.tolist() == [7, 7, 7] and frame['sky/real/IoU'].tolist() == [2, 2, 2]
    assert frame.iteration.tolist() == [39, 39, 39] and set(frame.made_by) == {'commit 1'}
    assert frame.options[1] == 'pace=1 pace=4 randomness.seed=0'
    head, _, slow, fast = study.table(frame, content).splitlines()
    assert head.split() == ['seeds', 'minutes', 'PA']
    assert re.match(r'slow +2 .* 5 ± 7.1$', slow) and re.match(r'fast +1 .* 0 ± 0$', fast)
    frame.to_csv(tmp_path / 'trial.csv', index=False)
    assert study.table(pd.read_csv(tmp_path / 'trial.csv'), content).splitlines()[2] == slow


def test_curves_have_plateaus_and_variances(make, tmp_path):
    content, runs = make(dict(pace=0.1), **CURVES)
    study.run_all(runs)
    frame = study.gather(runs, ['loss_g'])
    scores = frame.groupby(['variant', 'seed']).PA.last()
    assert len(frame) == 160 and scores.tolist()[:2] == [0, 10]
    figures = study.curve_figures(frame, content).iloc[:, 2:].to_numpy(float)
    # slow: 20 - t is within 2 of the level 0 from t = 18 on, 20 - 2 t from t = 9 on; fast:
    # 20 - 0.1 t has no plateau, its last 10 points vary by 0.1^2 (10^2 - 1) / 12; the second
    # seed's 20 - 1.1 t is below 2 from t = 17 on
    expected = [[18, 0], [np.nan, 0.0825], [9, 0], [17, 0]]
    np.testing.assert_allclose(figures, expected, rtol=1e-9)
    *_, slow, fast = study.table(frame, content).splitlines()
    assert re.search(r'G +2 +13.5 ± 6.4 +0 ± 0$', slow)
    assert re.search(r'G +2 +17 ± 0 \(1 of 2\) +0.04125 ± 0.058$', fast)


@pytest.mark.parametrize(
    'values, plateau',
    [
        # 10, 9, ..., 1, then 0: the distance from the level 0 is at most 0.1 * 10 from index 9 on
        ([*range(10, 0, -1), *[0] * 20], 9),
        ([*range(-3, -13, -1), *[-13] * 20], 9),
        ([10, 0, 0, 0, 8, *[0] * 15], 5),  # an excursion
        (np.linspace(1, 0, 50), None),
        ([3] * 12, 0),
        ([1] * 7, None),  # short
        ([1] * 8 + [np.nan], None),
    ],
)
def test_plateau_starts_where_the_curve_stays_near_its_level(values, plateau):
    curve = pd.Series(np.array(values, dtype=float))
    assert study.plateau_start(curve, window=1, tolerance=0.1, tail=0.25) == plateau


def test_plateau_is_found_under_noise_and_told_in_iterations():
    steps = np.arange(400)
    noise = np.random.default_rng(0).normal(0, 0.1, 400)
    curve = pd.Series(np.exp(-steps / 20) * 5 + noise, index=5 * steps)
    # 5 exp(-t / 20) falls to a tenth at t = 46
    assert 5 * 36 <= study.plateau_start(curve, window=11, tolerance=0.1, tail=0.25) <= 5 * 56


def test_curves_sum_stages_and_prefer_the_later_attempt(tmp_path):
    logs = [
        [
            dict(iter=5, step=5, loss_g_s0=1.0, loss_g_s1=2.0, loss_gx=9.0),
            dict(iter=10, loss_g_s0=5.0, loss_g_s1=5.0),
            dict(iter=15, loss_g_s0=7.0, loss_g_s1=7.0),
        ],
        [dict(iter=10, loss_g_s0=1.0, loss_g_s1=1.0), dict(miou=0.5, time=3.0, step=10)],
    ]
    for index, rows in enumerate(logs):
        path = tmp_path / str(index) / 'vis_data' / 'scalars.json'
        path.parent.mkdir(parents=True)
        path.write_text('\n'.join([*map(json.dumps, rows), '{"iter": 15, "loss_g_s']))
    curve = study.read_curves(tmp_path, ['loss_g']).loss_g
    assert curve.index.tolist() == [5, 10, 15] and curve.tolist() == [3, 2, 14]
    assert study.read_curves(tmp_path, ['loss_d']).loss_d.isna().all()


def test_plot_is_written_whole_with_a_band_of_one_deviation(make, tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    bands = []
    record = lambda self, *band, **options: bands.append(band)  # noqa: E731
    monkeypatch.setattr(Axes, 'fill_between', record)
    content, runs = make(**CURVES)
    study.run_all(runs[:3])
    picture = tmp_path / 'plots' / 'trial.png'
    frame = study.gather(runs, ['loss_g'])
    monkeypatch.setattr(study, 'load_study', lambda path: (content, runs))
    csv = str(tmp_path / 'plots' / 'trial.csv')
    call(monkeypatch, 'trial', '--table', '--plot', str(picture), '--csv', csv)
    pd.testing.assert_frame_equal(pd.read_csv(csv), frame)
    assert picture.read_bytes()[:4] == b'\x89PNG'
    assert {path.name for path in picture.parent.iterdir()} == {'trial.png', 'trial.csv'}
    (steps, low, high), _ = bands
    # slow at iteration 5: 20 - 5 and 20 - 10, mean 12.5, deviation 5 / sqrt 2
    assert steps.tolist() == list(range(40))
    assert (low[5], high[5]) == pytest.approx((12.5 - 5 / 2**0.5, 12.5 + 5 / 2**0.5))

    # without --table what is missing runs first
    call(monkeypatch, 'trial', '--csv', csv)
    assert len(pd.read_csv(csv)) == 4 * 40


def test_prepare_runs_what_is_missing_or_was_stopped_half_way(make, tmp_path, monkeypatch):
    make()
    made = tmp_path / 'made'
    code = f"open({str(made)!r}, 'a').write('x')"
    step = dict(makes=str(made), command=f'python -c "{code}"')

    def stop(words, **options):
        made.write_text('half')
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(study.subprocess, 'run', stop)
        with pytest.raises(KeyboardInterrupt):
            study.prepare([step])
    study.prepare([step, step])
    assert made.read_text() == 'halfx' and not list(study.ROOT.glob('*.unfinished'))
    bad = dict(makes=str(tmp_path / 'other'), command='python -c "1"')
    with pytest.raises(SystemExit, match='expected .*other from.*ended with 0'):
        study.prepare([bad])


def test_option_words_are_what_the_command_line_takes():
    options = dict(a=3, b=dict(c=1e-4, d={'e.f': True}), c=None, d=(0.9, 0.999), e=[1, 'x'])
    words = ['a=3', 'b.c=0.0001', 'b.d.e.f=True', 'c=None', 'd=(0.9,0.999)', "e=[1,'x']"]
    assert study.option_words(options) == words
    for value in ('a b', 'a,b', {}, [dict(a=1)]):
        with pytest.raises(SystemExit, match='write a config for it'):
            study.option_words(dict(a=value))


@pytest.mark.parametrize(
    'content, text',
    [
        (dict(seeds=[0]), "lacks \\['variants'\\]"),
        (dict(seeds=[0], variants={}, seed=1), "unknown \\['seed'\\]"),
        (dict(seeds=[0], variants=dict(a=dict(config='no.py'))), 'no config at no.py'),
    ],
)
def test_bad_study_file_raises(content, text, tmp_path):
    (tmp_path / 'bad.json').write_text(json.dumps(content))
    with pytest.raises(SystemExit, match=text):
        study.load_study(str(tmp_path / 'bad.json'))


def call(monkeypatch, *words):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(sys, 'argv', ['study.py', *words])
    return study.main()


@pytest.mark.parametrize(
    'words, text',
    [
        (['--only', 'SGD'], "got ['SGD']"),
        (['--plot', 'x.png'], 'names no curves to plot'),
        (['--max-minutes', '-1'], "but got '-1'"),
        (['--jobs', '0'], "but got '0'"),
    ],
)
def test_bad_arguments_are_refused(words, text, monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, 'configs/studies/noise_toy.py', *words)
    assert text in f'{end.value}{capsys.readouterr().err}'


def test_missing_curve_is_named(monkeypatch, tmp_path):
    rows = dict(variant='a', seed=0, iteration=[1, 2], loss_gan_g=[1.0, 2.0], loss_gan_d_real=0.5)
    pd.DataFrame(rows).to_csv(tmp_path / 'a.csv')
    words = ['configs/studies/amm_vs_adam_toy.py', '--table', '--read', str(tmp_path / 'a.csv')]
    with pytest.raises(SystemExit, match=r"curves \['loss_gan_d_fake'\] in .*a.csv"):
        call(monkeypatch, *words)


def test_second_study_is_refused_while_one_runs(make, monkeypatch):
    make()
    with open(study.ROOT / '.lock', 'w') as lock:
        study.fcntl.flock(lock, study.fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match='another study is running'):
            call(monkeypatch, 'configs/studies/noise_toy.py')


def test_committed_scores_give_the_stated_figures(monkeypatch, capsys):
    csv = 'docs/studies/noise_toy.csv'
    assert call(monkeypatch, 'configs/studies/noise_toy.py', '--table', '--read', csv) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith('vae'))
    # docs/results.md: 81.2 ± 2.8, 57.9 ± 4.8, 2.12 ± 0.32, 21.5 ± 0.6 (2 seeds)
    for figure in ('81.24 ± 2.8', '57.86 ± 4.8', '2.118 ± 0.32', '21.54 ± 0.59 (2 of 3)'):
        assert figure in row


@pytest.mark.parametrize('path', STUDIES, ids=lambda path: path.stem)
def test_study_file_fits_its_configs(path, repository):
    content, runs = study.load_study(str(path))
    assert len({run.work_dir for run in runs}) == len(runs)
    for run in runs[: len(content.variants)]:
        configured(run)
    csv = Path(f'docs/studies/{path.stem}.csv')
    if csv.exists():  # a study may wait for its runs
        last = pd.read_csv(csv).groupby(['variant', 'seed']).tail(1)  # rows above hold curves
        assert last[['config', 'options', 'made_by']].notna().all(axis=None)


def configured(run):
    pairs = [word.split('=', 1) for word in run.options]
    options = {key: study.DictAction._parse_iterable(text) for key, text in pairs}
    return study.cli.read_config(run.config, options)


@pytest.mark.parametrize('data', ['toy', 'camvid'])
def test_optimizer_study_has_the_paper_rates_and_the_control(data, repository):
    expected = {name: (name[:4].rstrip('_'), 1e-4, 4e-4) for name in ('AMM', 'Adam', 'AMM_one')}
    expected['Adam_10x'] = ('Adam', 1e-3, 4e-3)
    _, runs = study.load_study(f'configs/studies/amm_vs_adam_{data}.py')
    for run in runs:
        config = configured(run)
        nets = [config.optim_wrapper[name].optimizer for name in ('generator', 'discriminator')]
        assert (nets[0].type, nets[0].lr, nets[1].lr) == pytest.approx(expected[run.variant])
        first = 0.0 if run.variant == 'AMM_one' else 0.9
        assert all(tuple(net.betas) == (first, 0.999) for net in nets)
        assert config.model.gan_loss.gan_type == 'log'
    assert {run.seed for run in runs} == {0, 1, 2}
