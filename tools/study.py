"""Run a study: several variants of a training over several seeds.

Finished runs are not run again and interrupted ones go on from their last checkpoint, so the same
command can be given until all is done. Each run trains in work_dirs/studies/STUDY/VARIANT/seedN.
"""

# mmengine trains one config at a time; Hydra's sweeper would bring a second config system with it.

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _cli as cli
import numpy as np
import pandas as pd
from mmengine.config import Config, DictAction

NEEDED, OPTIONAL = {'seeds', 'variants'}, {'cfg_options', 'prepare', 'curves', 'plateau'}
ROOT, TRAIN_TOOL, GRACE_SECONDS = Path('work_dirs/studies'), 'tools/train.py', 20


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('study', help='study file, in configs/studies')
    add('--only', nargs='+', metavar='RUN', help='only these: VARIANT or VARIANT/seedN')
    add('--jobs', type=cli.number, default=1, help='side by side; above 1 with one thread each')
    minutes = 'stop after so long; give the command again to go on'
    add('--max-minutes', type=cli.number, help=minutes)
    add('--table', action='store_true', help='run nothing; print mean and spread over the seeds')
    add('--plot', metavar='FILE', help='plot the curves at the end')
    add('--csv', metavar='FILE', help='write scores and curves of each run at the end')
    add('--read', metavar='FILE', help='run nothing; take such a file')
    return parser.parse_args()


@dataclass(frozen=True)
class Run:
    """One training of a study; ``options`` are the words after ``--cfg-options``."""

    variant: str
    seed: int
    config: str
    options: list[str]
    work_dir: Path

    @property
    def name(self) -> str:
        """Variant and seed."""
        return f'{self.variant}/seed{self.seed}'

    @property
    def note(self) -> dict[str, Any]:
        """What :func:`run_all` has written: ``finished``, ``minutes`` and ``made_by``."""
        path = self.work_dir / 'run.json'
        return json.loads(path.read_text()) if path.is_file() else dict(finished=False, minutes=0)


def option_words(options: dict[str, Any], prefix: str = '') -> list[str]:
    """Write overrides, which may be nested, as ``--cfg-options`` reads them.

    Raises:
        SystemExit: If mmengine would read something else.
    """
    words = []
    for key, value in options.items():
        if isinstance(value, dict) and value:
            words += option_words(value, f'{prefix}{key}.')
            continue
        text = str(value).replace(' ', '')
        if DictAction._parse_iterable(text) != value:
            cli.stop(
                'cfg_options of a study must be numbers, words or lists of them, but got '
                f'{value!r}: write a config for it'
            )
        words.append(f'{prefix}{key}={text}')
    return words


def load_study(path: str) -> tuple[Config, list[Run]]:
    """Read a study file, a config with ``seeds``, ``variants`` and what else it may have.

    - ``variants``: name -> ``dict(config=FILE, cfg_options={key: value})``;
    - ``cfg_options``: overrides of all variants;
    - ``prepare``: ``dict(makes=PATH, command=TEXT)``, run where ``PATH`` is missing or unfinished;
    - ``curves``: key in the log, without its stage -> title;
    - ``plateau``: arguments of :func:`plateau_start`.

    Returns:
        tuple[Config, list[Run]]: The content, and the runs: all variants of a seed before the
        next seed, so that a study cut short compares whole rows.

    Raises:
        SystemExit: If an entry is unknown or missing, or a config does not exist.
    """
    cli.need(path, 'study file', 'they are in configs/studies')
    study = Config.fromfile(path)
    unknown, missing = sorted(set(study) - NEEDED - OPTIONAL), sorted(NEEDED - set(study))
    if unknown or missing:
        cli.stop(
            f'{path} must have {sorted(NEEDED)} and may have {sorted(OPTIONAL)}, but has unknown '
            f'{unknown} and lacks {missing}'
        )

    runs = []
    for seed in study.seeds:
        for name, entry in study.variants.items():
            cli.need(entry.config, 'config', f'{path} names it')
            parts = study.get('cfg_options'), entry.get('cfg_options'), {'randomness.seed': seed}
            options = [word for part in parts for word in option_words(part or {})]
            folder = ROOT / Path(path).stem / name / f'seed{seed}'
            runs.append(Run(name, seed, entry.config, options, folder))
    return study, runs


def prepare(steps: list[dict[str, str]]) -> None:
    """Make what the runs need and is missing.

    A command that was stopped half-way may have left something behind, such as a checkpoint of a
    training cut short. A mark tells so to every study that needs the same, and it is run again.
    """
    for step in steps:
        made, mark = Path(step['makes']), ROOT / f'{step["makes"].replace("/", "_")}.unfinished'
        if made.exists() and not mark.exists():
            continue
        mark.touch()
        print(step['command'], flush=True)
        words = re.sub('^python ', f'{shlex.quote(sys.executable)} ', step['command'])
        code = subprocess.run(shlex.split(words), check=False).returncode
        if code != 0 or not made.exists():
            cli.stop(f'expected {made} from "{step["command"]}", which ended with {code}')
        mark.unlink()


def start(run: Run, jobs: int) -> subprocess.Popen:
    """Start a run's training in a process group of its own; its output goes to output.log."""
    words = [sys.executable, TRAIN_TOOL, run.config, '--work-dir', str(run.work_dir)]
    words += ['--resume'] * (run.work_dir / 'last_checkpoint').is_file()
    words += ['--cfg-options', *run.options]
    env = {**os.environ, 'OMP_NUM_THREADS': '1'} if jobs > 1 else None
    run.work_dir.mkdir(parents=True, exist_ok=True)
    with open(run.work_dir / 'output.log', 'ab') as log:
        return subprocess.Popen(words, stdout=log, stderr=log, env=env, start_new_session=True)


def end(process: subprocess.Popen) -> str:
    """Stop a training if it is under way; how it went: 'done', 'failed' or 'stopped'."""
    if process.poll() is not None:
        return 'failed' if process.returncode else 'done'
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
            break
    return 'stopped'


def run_all(runs: list[Run], jobs: int = 1, max_minutes: float | None = None) -> list[str]:
    """Train what is not done yet, ``jobs`` runs at a time; the names of those that failed.

    When time is up, and on Ctrl-C, the trainings under way are stopped.
    """
    from slnp_mm.files import replace_file

    made, failed = cli.made_by(), []
    last = time.monotonic() + 60 * (max_minutes or math.inf)
    waiting = [run for run in runs if not run.note['finished']]
    active: list[tuple[Run, subprocess.Popen, float]] = []

    def finish(run: Run, process: subprocess.Popen, begun: float) -> None:
        result, minutes = end(process), (time.monotonic() - begun) / 60
        note = dict(finished=result == 'done', minutes=run.note['minutes'] + minutes, made_by=made)
        with replace_file(run.work_dir / 'run.json') as draft:
            Path(draft).write_text(json.dumps(note))
        print(f'{run.name}: {result} after {minutes:.1f} minutes', flush=True)
        if result == 'failed':
            failed.append(run.name)
            print(f'see {run.work_dir}/output.log', flush=True)

    try:
        while (waiting or active) and time.monotonic() < last:
            while waiting and len(active) < jobs:
                run, done = waiting.pop(0), sum(run.note['finished'] for run in runs)
                print(f'{done} of {len(runs)} done; now {run.name}', flush=True)
                active.append((run, start(run, jobs), time.monotonic()))
            for entry in [entry for entry in active if entry[1].poll() is not None]:
                active.remove(entry)
                finish(*entry)
            time.sleep(0.1)
    finally:
        for entry in active:
            finish(*entry)
    return failed


def read_curves(work_dir: Path, keys: list[str]) -> pd.DataFrame:
    """Read curves of a run that may have been resumed, one column each, indexed by iteration.

    Where two attempts logged the same iteration, the later one counts. Stages are summed:
    ``loss_gan_g`` is the sum of ``loss_gan_g_s0``, ``loss_gan_g_s1`` and so on, or the key itself.
    """
    rows = [{'iter': None}]
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):  # cut off when the run was stopped
                rows.append(json.loads(line))
    log = pd.DataFrame(rows).dropna(subset='iter').astype({'iter': int})
    log = log.drop_duplicates('iter', keep='last').set_index('iter').sort_index()

    stages = {key: log.filter(regex=rf'^{key}(_s\d+)?$') for key in keys}
    return pd.DataFrame({key: found.sum(axis=1, min_count=1) for key, found in stages.items()})


def gather(runs: list[Run], curves: list[str]) -> pd.DataFrame:
    """Collect what the finished runs logged and scored.

    Returns:
        pd.DataFrame: One row for each run and logged iteration of the curves. A run's last row
        also says what made it, and holds the scored ``images``, the scores and each class's IoU.
    """
    frames = []
    for run in [run for run in runs if run.note['finished']]:
        frame = read_curves(run.work_dir, curves) if curves else pd.DataFrame()
        note, report = run.note, run.work_dir / 'val_report.json'
        facts = dict(config=run.config, options=' '.join(run.options))
        facts |= dict(made_by=note['made_by'], minutes=note['minutes'])
        step = max(frame.index, default=0)
        if report.is_file():
            scores = json.loads(report.read_text())
            step = scores['run']['iteration']
            facts |= dict(images=scores['protocol']['num_images'], **scores['figures'])
            for row in scores['per_class']:
                facts |= {f'{row["class"]}/{key}': row.get(key) for key in ('IoU', 'real/IoU')}
        frame = frame.join(pd.DataFrame(facts, index=[step]), how='outer')
        frame.insert(0, 'variant', run.variant)
        frame.insert(1, 'seed', run.seed)
        frames.append(frame.rename_axis('iteration').reset_index())
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def plateau_start(
    curve: pd.Series, window: int = 5, tolerance: float = 0.1, tail: float = 0.25
) -> int | None:
    """Find the iteration at which a curve has reached its plateau.

    The level is the mean of the last ``tail`` of the points, a share. The plateau begins at the
    first point from which on the curve, smoothed over ``window`` points, stays within
    ``tolerance`` times its largest distance from the level.

    Source:
        ours: the paper reads the plateau off figs 13 and 14 by eye.

    Returns:
        int | None: None if there are fewer than 8 points, one is not finite, or the curve only
        comes that close inside the tail.
    """
    if len(curve) < 8 or not np.isfinite(curve).all():
        return None
    first_of_tail = len(curve) - max(1, round(tail * len(curve)))
    smooth = curve.rolling(window, center=True, min_periods=1).mean()
    distance = (smooth - curve.iloc[first_of_tail:].mean()).abs()
    outside = np.flatnonzero(distance > tolerance * distance.max())
    start = int(outside[-1]) + 1 if len(outside) else 0
    return int(curve.index[start]) if start <= first_of_tail else None


def curve_figures(frame: pd.DataFrame, study: Config) -> pd.DataFrame:
    """Find each curve's plateau, and the variance of the last quarter of its points."""
    rows = []
    for (variant, _), run in frame.groupby(['variant', 'seed'], sort=False):
        for key, title in study.curves.items():
            curve = run.set_index('iteration')[key].dropna()
            quarter = curve.iloc[-max(1, len(curve) // 4) :].var(ddof=0)
            rows.append((variant, title, plateau_start(curve, **study.get('plateau', {})), quarter))
    names = ['variant', 'curve', 'iterations to the plateau', 'variance of the last quarter']
    return pd.DataFrame(rows, columns=names)


def mean_spread(values: pd.Series) -> str:
    """Write mean ± sample deviation (0 for one seed), and how many seeds have it if not all."""
    found = values.dropna().astype(float)
    if found.empty:
        return '-'
    text = f'{found.mean():.4g} ± {found.std() if len(found) > 1 else 0:.2g}'
    return text if len(found) == len(values) else f'{text} ({len(found)} of {len(values)})'


def table(frame: pd.DataFrame, study: Config) -> str:
    """Write each variant's scores, or its curves' figures if the study has curves."""
    if study.get('curves'):
        runs, keys = curve_figures(frame, study), ['variant', 'curve']
    else:
        runs = frame.groupby(['variant', 'seed'], sort=False).last().select_dtypes('number')
        runs = runs.loc[:, ~runs.columns.str.endswith('/IoU')].drop(columns=['iteration', 'images'])
        keys = ['variant']
    groups = runs.groupby(keys, sort=False)
    cells = groups.agg(mean_spread)
    cells.insert(0, 'seeds', groups.size())
    return cells.to_string()


def plot(frame: pd.DataFrame, study: Config, path: str) -> None:
    """Plot the curves, one panel for each variant: mean and deviation over its seeds."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    variants = frame.groupby('variant', sort=False)
    size = 4.2 * len(variants), 3.4
    figure, axes = plt.subplots(
        1, len(variants), figsize=size, sharey=True, squeeze=False, layout='constrained'
    )
    for panel, (variant, runs) in zip(axes[0], variants):
        for key, title in study.curves.items():
            # iterations that every seed has
            seeds = runs.pivot(index='iteration', columns='seed', values=key).dropna()
            mean, spread = seeds.mean(axis=1), seeds.std(axis=1).fillna(0)
            panel.plot(seeds.index, mean, label=title, linewidth=1)
            panel.fill_between(seeds.index, mean - spread, mean + spread, alpha=0.25, linewidth=0)
        panel.set(title=f'{variant}, {runs.seed.nunique()} seeds', xlabel='iteration')
    axes[0, 0].set_ylabel('loss')
    axes[0, 0].legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> int:
    """Run, or report on, a study."""
    args = parse_args()
    study, runs = load_study(args.study)
    known = {name for run in runs for name in (run.variant, run.name)}
    unknown = sorted(set(args.only or known) - known)
    if unknown:
        cli.stop(f'--only must be among {sorted(known)}, but got {unknown}')
    runs = [run for run in runs if {run.variant, run.name} & set(args.only or known)]
    if args.plot and not study.get('curves'):
        cli.stop(f'{args.study} names no curves to plot')

    failed = []
    if not (args.table or args.read):
        cli.stop_like_ctrl_c()
        ROOT.mkdir(parents=True, exist_ok=True)
        with open(ROOT / '.lock', 'w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                cli.stop('another study is running: wait, or stop it')
            prepare(study.get('prepare', []))
            failed = run_all(runs, args.jobs, args.max_minutes)

    curves = list(study.get('curves', {}))
    frame = pd.read_csv(args.read) if args.read else gather(runs, curves)
    if frame.empty:
        print(f'{args.study}: no finished run yet')
        return 1
    lacking = [key for key in curves if key not in frame or frame[key].isna().all()]
    if lacking:
        cli.stop(
            f'expected the curves {lacking} in {args.read or "the logs"}, but no line has them: '
            'check the names in the study file'
        )
    print(table(frame, study))
    if args.plot or args.csv:
        from slnp_mm.files import replace_file
    if args.plot:
        with replace_file(args.plot) as draft:
            plot(frame, study, draft)
    if args.csv:
        with replace_file(args.csv) as draft:
            frame.to_csv(draft, index=False)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
