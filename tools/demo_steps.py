"""Run tools one after the other, with one line of progress.

Only the standard library is used, so that the first line comes at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

# `Iter(train) [ 20/600]` of mmengine, `25/900 drawn` of make_toyscenes
COUNT = re.compile(r'\[\s*(\d+)/(\d+)\]|(\d+)/(\d+) drawn')
PLAIN_SECONDS = 10  # between lines where the output is no terminal


class StepError(RuntimeError):
    """A step failed; the text is one sentence."""


def clock(seconds: float) -> str:
    """Write seconds as minutes:seconds."""
    seconds = max(0, round(seconds))
    return f'{seconds // 60}:{seconds % 60:02d}'


@dataclass
class Step:
    """One call of a tool.

    Attributes:
        title (str): What it does, in a few words.
        command (list[str]): The tool and its arguments, without Python.
        outputs (list[Path]): What must be there when it is done.
        configs (list[Path]): Files and folders it is defined by; if one
            changes, the step is done again.
        seconds (float): What it takes on two cores, for the first estimate.
        folder (Path): For its log and the note on how far it has come.
        resume (list[str]): Arguments to go on after an interruption.
    """

    title: str
    command: list[str]
    outputs: list[Path]
    configs: list[Path]
    seconds: float
    folder: Path
    resume: list[str] = field(default_factory=list)

    def digest(self) -> str:
        """Hash of all that the step's result depends on."""
        found = hashlib.sha256(json.dumps(self.command).encode())
        for config in self.configs:
            files = [config] if config.is_file() else config.rglob('*.py')
            for file in sorted(files):
                found.update(file.read_bytes())
        return found.hexdigest()


class Demo:
    """Runs the steps that are not done yet.

    Args:
        steps (list[Step]): In their order.
    """

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.live = sys.stdout.isatty()
        self.ratio = 1.0  # measured time / planned time so far
        self.last_print = 0.0
        self.renewed = False  # a step was run, so all later ones are too
        self.resumed = False  # the present step goes on from a checkpoint
        self.first: tuple[int, float] | None = None  # its count, its time

    def note(self, number: int) -> Path:
        """File that tells how far a step has come."""
        return self.steps[number - 1].folder / f'step_{number}.json'

    def state(self, number: int) -> str:
        """'done', 'started' (with the same settings) or 'new'."""
        step, note = self.steps[number - 1], self.note(number)
        if not note.is_file():
            return 'new'
        found = json.loads(note.read_text('utf-8'))
        if found['digest'] != step.digest():
            return 'new'
        done = found['done'] and all(p.exists() for p in step.outputs)
        return 'done' if done else 'started'

    def write_note(self, number: int, done: bool) -> None:
        """Write under another name, then move into place."""
        note = self.note(number)
        note.parent.mkdir(parents=True, exist_ok=True)
        draft = note.with_suffix('.part')
        text = dict(digest=self.steps[number - 1].digest(), done=done)
        draft.write_text(json.dumps(text), 'utf-8')
        os.replace(draft, note)

    def run(self) -> None:
        """Run every step; a finished one is skipped.

        A step is run again if one before it was.

        Raises:
            StepError: If a step fails.
        """
        planned = measured = 0.0
        for number, step in enumerate(self.steps, 1):
            state = 'new' if self.renewed else self.state(number)
            if state == 'done':
                print(f'[{number}/{len(self.steps)}] {step.title}: done')
                continue
            start = time.monotonic()
            self.write_note(number, done=False)
            self.resumed = state == 'started' and bool(step.resume)
            self.first, self.renewed = None, True
            if step.resume and not self.resumed:
                for path in step.outputs:  # of other settings: not to resume
                    path.unlink(missing_ok=True)
            self.run_step(number, step.resume if self.resumed else [])
            self.write_note(number, done=True)
            if state == 'new':
                planned += step.seconds
                measured += time.monotonic() - start
                self.ratio = measured / planned

    def run_step(self, number: int, extra: list[str]) -> None:
        """Run one tool, its output to a log, and show how far it is.

        Raises:
            StepError: If it fails or does not make its outputs.
        """
        step = self.steps[number - 1]
        log = step.folder / f'step_{number}.log'
        env = dict(os.environ, PYTHONUNBUFFERED='1', PYTHONWARNINGS='ignore')
        start = time.monotonic()
        self.last_print = 0.0
        with open(log, 'w', encoding='utf-8') as handle:
            process = subprocess.Popen(
                [sys.executable, *step.command, *extra],
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
            try:
                while process.poll() is None:
                    self.show(number, log, time.monotonic() - start)
                    time.sleep(0.5)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGTERM)
                    process.wait()
        missing = [str(p) for p in step.outputs if not p.exists()]
        if process.returncode != 0 or missing:
            raise StepError(
                self.reason(step, log, process.returncode, missing)
            )
        took = clock(time.monotonic() - start)
        text = f'[{number}/{len(self.steps)}] {step.title}: done in {took}'
        print(f'\r{text:<78}' if self.live else text, flush=True)

    def show(self, number: int, log: Path, passed: float) -> None:
        """Print the line of progress."""
        now = time.monotonic()
        if not self.live and now - self.last_print < PLAIN_SECONDS:
            return
        self.last_print = now
        step = self.steps[number - 1]
        done, total = last_count(log)
        left = self.seconds_left(step, done, total, passed)
        later = sum(
            other.seconds * self.ratio
            for i, other in enumerate(self.steps[number:], number + 1)
            if self.renewed or self.state(i) != 'done'
        )
        count = f'{done}/{total}' if total else 'starting'
        text = (
            f'[{number}/{len(self.steps)}] {step.title}: {count}, '
            f'{clock(left)} left, whole demo {clock(left + later)}'
        )
        end = '' if self.live else '\n'
        print(f'\r{text:<78}' if self.live else text, end=end, flush=True)

    def seconds_left(
        self, step: Step, done: int, total: int, passed: float
    ) -> float:
        """Time left of a step, by its pace so far.

        Args:
            step (Step): The step.
            done (int): Units done, 0 before the first one is known.
            total (int): Units in all.
            passed (float): Since the step's start, seconds.

        Returns:
            float: Seconds. What an earlier run has done does not count for
            the pace of a resumed step.
        """
        if not done:
            return max(step.seconds * self.ratio - passed, 1.0)
        if self.first is None:
            self.first = (done, passed) if self.resumed else (0, 0.0)
        count, start = self.first
        if done <= count:  # just resumed: the plan's pace
            return step.seconds * self.ratio * (1 - done / total)
        return (passed - start) / (done - count) * (total - done)

    @staticmethod
    def reason(step: Step, log: Path, code: int, missing: list) -> str:
        """The tool's own error sentence, or where to look."""
        lines = log.read_text('utf-8', errors='replace').splitlines()
        errors = [line[7:] for line in lines if line.startswith('error: ')]
        if errors:
            why = errors[-1]
        elif code:
            why = f'exit code {code}; {lines[-1] if lines else "no output"}'
        else:
            why = f'it did not write {", ".join(missing)}'
        return f'"{step.title}" failed: {why} (log: {log})'


def last_count(log: Path, tail: int = 8192) -> tuple[int, int]:
    """Read the last ``done/total`` from the end of a log; 0, 0 if none."""
    with open(log, 'rb') as handle:
        handle.seek(max(0, log.stat().st_size - tail))
        text = handle.read().decode('utf-8', errors='replace')
    found = COUNT.findall(text)
    if not found:
        return 0, 0
    first, second, third, fourth = found[-1]
    return int(first or third), int(second or fourth)
