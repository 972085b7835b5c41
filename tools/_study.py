"""Studies: a resumable queue of training runs over variants and seeds.

A study file is a config with these entries:

- ``seeds``: list of seeds;
- ``variants``: name -> ``dict(config=FILE, cfg_options={key: value})``;
- ``cfg_options`` (optional): overrides of all variants;
- ``prepare`` (optional): list of ``dict(makes=PATH, command=TEXT)``, run
  first where ``PATH`` is missing or was left unfinished;
- ``curves`` (optional): name -> title of the curves to plot;
- ``plateau`` (optional): arguments of ``curves.plateau_start``.

Each run trains in ``work_dirs/studies/STUDY/VARIANT/seedN`` and ends with a
``report.json`` there; a run that has one is not run again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _curves import last_metrics, log_files
from mmengine.config import Config

from slnp_mm.errors import SLNPError, check_file

ENTRIES = {
    'seeds', 'variants', 'cfg_options', 'prepare', 'curves', 'plateau'
}  # fmt: skip
ROOT = Path('work_dirs/studies')
TRAIN_TOOL = 'tools/train.py'
GRACE_SECONDS = 20


@dataclass(frozen=True)
class Run:
    """One training of a study.

    Args:
        variant (str): Name of the variant.
        seed (int): Seed.
        config (str): Config file.
        options (dict[str, Any]): Overrides, dotted key -> value.
        work_dir (Path): Where it trains.
    """

    variant: str
    seed: int
    config: str
    options: dict[str, Any]
    work_dir: Path

    @property
    def name(self) -> str:
        """Variant and seed."""
        return f'{self.variant}/seed{self.seed}'

    @property
    def report_path(self) -> Path:
        """Where the report is written."""
        return self.work_dir / 'report.json'

    @property
    def state(self) -> str:
        """One of 'done', 'started' and 'waiting'."""
        if self.report_path.is_file():
            return 'done'
        return 'started' if _can_resume(self.work_dir) else 'waiting'

    def command(self, train_tool: str) -> list[str]:
        """Give the command that trains, or goes on training."""
        options = {**self.options, 'randomness.seed': self.seed}
        words = [sys.executable, train_tool, self.config]
        words += ['--work-dir', str(self.work_dir)]
        if _can_resume(self.work_dir):
            words.append('--resume')
        words.append('--cfg-options')
        return words + [f'{k}={option_text(v)}' for k, v in options.items()]


@dataclass(frozen=True)
class Study:
    """A study file's content; see the head of this module."""

    name: str
    runs: tuple[Run, ...]
    prepare: tuple[dict[str, str], ...] = ()
    curves: dict[str, str] = field(default_factory=dict)
    plateau: dict[str, Any] = field(default_factory=dict)

    @property
    def variants(self) -> list[str]:
        """Names of the variants, in the file's order."""
        return list(dict.fromkeys(run.variant for run in self.runs))


def _can_resume(work_dir: Path) -> bool:
    """Whether a work dir holds a checkpoint."""
    return (work_dir / 'last_checkpoint').is_file()


def option_text(value: Any) -> str:
    """Write a value as ``--cfg-options`` reads it.

    Args:
        value (Any): Number, bool, None, text without white space or commas,
            or a list or tuple of these.

    Returns:
        str: The text.

    Raises:
        SLNPError: If the value cannot be given on the command line.
    """
    if isinstance(value, (list, tuple)):
        inner = ','.join(option_text(item) for item in value)
        return f'[{inner}]' if isinstance(value, list) else f'({inner})'
    plain = isinstance(value, (bool, int, float, str)) or value is None
    text = str(value)
    if not plain or any(c in text for c in ' ,()[]\t\n'):
        raise SLNPError(
            'cfg_options of a study must be numbers, words or lists of '
            f'them, but got {value!r}: write a config for it'
        )
    return text


def flatten(options: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Turn nested overrides into dotted ones.

    Args:
        options (dict[str, Any]): May hold dicts.
        prefix (str): Put before each key. Defaults to ''.

    Returns:
        dict[str, Any]: Without dicts inside.
    """
    flat: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f'{prefix}{key}.'))
        else:
            flat[f'{prefix}{key}'] = value
    return flat


def load_study(path: str | os.PathLike, root: Path = ROOT) -> Study:
    """Read a study file.

    Args:
        path (str or PathLike): Python, JSON or YAML, read by mmengine.
        root (Path): Folder of all studies. Defaults to ``ROOT``.

    Returns:
        Study: With one run per seed and variant, all variants of a seed
        before the next seed, so that a study cut short compares whole rows.

    Raises:
        SLNPError: If the file is missing, an entry is unknown or missing,
            or a variant's config does not exist.
    """
    check_file(path, 'study file', 'they are in configs/studies')
    content = Config.fromfile(str(path)).to_dict()
    unknown = sorted(set(content) - ENTRIES)
    missing = sorted({'seeds', 'variants'} - set(content))
    if unknown or missing:
        raise SLNPError(
            f'{path} must have seeds and variants and may have '
            f'{sorted(ENTRIES - {"seeds", "variants"})}, but has unknown '
            f'{unknown} and lacks {missing}'
        )
    name = Path(path).stem
    shared = flatten(content.get('cfg_options', {}))
    runs = []
    for seed in content['seeds']:
        for variant, entry in content['variants'].items():
            check_file(entry['config'], 'config', f'named by {path}')
            options = {**shared, **flatten(entry.get('cfg_options', {}))}
            folder = root / name / variant / f'seed{seed}'
            runs.append(Run(variant, seed, entry['config'], options, folder))
    return Study(
        name,
        tuple(runs),
        tuple(content.get('prepare', ())),
        content.get('curves', {}),
        content.get('plateau', {}),
    )


@contextlib.contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Hold the lock of all studies, so that timings stay comparable.

    Raises:
        SLNPError: If another study holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    with open(root / '.lock', 'w', encoding='utf-8') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SLNPError(
                f'another study is running ({root}/.lock is held): wait for it, or stop it'
            ) from error
        yield


def hardware() -> dict[str, Any]:
    """Describe what a run's time depends on, without naming the machine."""
    import torch

    gpu = torch.cuda.is_available()
    return dict(
        cpu_cores=os.cpu_count(),
        torch_threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if gpu else None,
    )


def versions() -> dict[str, str | None]:
    """Give the versions that a run's result may depend on."""
    import mmagic
    import mmengine
    import torch

    from ..version import __version__

    found = subprocess.run(
        ['git', 'describe', '--always', '--dirty'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return dict(
        slnp_mm=__version__,
        commit=found.stdout.strip() or None,
        python=platform.python_version(),
        torch=torch.__version__,
        mmengine=mmengine.__version__,
        mmagic=mmagic.__version__,
    )


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that appears whole or not at all."""
    partial = path.with_name(path.name + '.tmp')
    partial.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    os.replace(partial, path)


def _attempts(run: Run) -> list[float]:
    """Read the wall times of a run's attempts, seconds."""
    path = run.work_dir / 'attempts.json'
    return json.loads(path.read_text()) if path.is_file() else []


def write_report(run: Run, command: list[str]) -> dict[str, Any]:
    """Write the report of a run that has ended well.

    Args:
        run (Run): The run.
        command (list[str]): The last attempt's command.

    Returns:
        dict[str, Any]: What was written to ``run.report_path``.
    """
    report = dict(
        variant=run.variant,
        seed=run.seed,
        config=run.config,
        cfg_options=run.options,
        command=shlex.join(['python', *command[1:]]),
        metrics=last_metrics(run.work_dir),
        curves=[str(path.relative_to(run.work_dir)) for path in log_files(run.work_dir)],
        wall_seconds=sum(_attempts(run)),
        attempts=len(_attempts(run)),
        versions=versions(),
        hardware=hardware(),
    )
    write_json(run.report_path, report)
    return report


def _wait(process: subprocess.Popen, seconds: float | None) -> bool:
    """Wait for a process group; stop it when time is up or on Ctrl-C.

    Returns:
        bool: Whether it ended by itself.
    """
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        for stop in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is not None:
                break
            os.killpg(process.pid, stop)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)


def execute(run: Run, seconds: float | None, train_tool: str = TRAIN_TOOL) -> str:
    """Train one run, from its last checkpoint if it has one.

    Args:
        run (Run): The run.
        seconds (float | None): Most time to take; None for no limit.
        train_tool (str): The training script. Defaults to ``TRAIN_TOOL``.

    Returns:
        str: 'done', 'stopped' (time was up) or 'failed'. The output is
        added to ``output.log`` in the work dir.
    """
    run.work_dir.mkdir(parents=True, exist_ok=True)
    command = run.command(train_tool)
    start = time.monotonic()
    try:
        with open(run.work_dir / 'output.log', 'ab') as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            ended = _wait(process, seconds)
    finally:
        times = [*_attempts(run), time.monotonic() - start]
        write_json(run.work_dir / 'attempts.json', times)
    if not ended:
        return 'stopped'
    if process.returncode != 0:
        return 'failed'
    write_report(run, command)
    return 'done'


def prepare(study: Study, root: Path = ROOT) -> None:
    """Make what the study's runs need and is missing.

    A command that was stopped half-way may have left something behind, such
    as a checkpoint of a training cut short. A mark in ``root`` tells so to
    every study that needs the same, and the command is run again.

    Args:
        study (Study): The study.
        root (Path): Folder of all studies. Defaults to ``ROOT``.

    Raises:
        SLNPError: If a command fails or does not make what it should.
    """
    for step in study.prepare:
        made = Path(step['makes'])
        mark = root / f'{step["makes"].replace(os.sep, "_")}.unfinished'
        if made.exists() and not mark.exists():
            continue
        root.mkdir(parents=True, exist_ok=True)
        mark.touch()
        print(f'{study.name}: {step["command"]}', flush=True)
        words = shlex.split(step['command'])
        if words[0] == 'python':
            words[0] = sys.executable
        code = subprocess.run(words, check=False).returncode
        if code != 0 or not made.exists():
            raise SLNPError(
                f'expected {step["makes"]} from the command '
                f'"{step["command"]}", which ended with {code}'
            )
        mark.unlink(missing_ok=True)


def run_queue(
    study: Study,
    runs: list[Run],
    max_minutes: float | None = None,
    train_tool: str = TRAIN_TOOL,
) -> list[str]:
    """Run what is not done yet, one after another, and print progress.

    Args:
        study (Study): The study.
        runs (list[Run]): Which of its runs.
        max_minutes (float | None): Stop after so long; the run under way
            goes on from its last checkpoint next time. Defaults to None.
        train_tool (str): The training script. Defaults to ``TRAIN_TOOL``.

    Returns:
        list[str]: Names of the runs that failed.
    """
    end = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    failed: list[str] = []
    waiting = [run for run in runs if run.state != 'done']
    for index, run in enumerate(waiting):
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            break
        done = [sum(_attempts(r)) for r in runs if r.state == 'done']
        guess = ''
        if done:
            minutes = sum(done) / len(done) / 60 * (len(waiting) - index)
            guess = f', about {minutes:.0f} minutes left'
        print(
            f'{study.name}: {len(done)} of {len(runs)} done{guess}; now {run.name} ({run.state})',
            flush=True,
        )
        result = execute(run, left, train_tool)
        print(
            f'{run.name}: {result} after {_attempts(run)[-1] / 60:.1f} minutes',
            flush=True,
        )
        if result == 'failed':
            failed.append(run.name)
            print(f'see {run.work_dir}/output.log', flush=True)
    return failed
