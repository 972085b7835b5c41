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
        beside (bool): Whether the next steps run meanwhile, all but the
            last one, which waits for it.
    """

    title: str
    command: list[str]
    outputs: list[Path]
    configs: list[Path]
    seconds: float
    folder: Path
    resume: list[str] = field(default_factory=list)
    beside: bool = False

    def digest(self) -> str:
        """Hash of all that the step's result depends on."""
        found = hashlib.sha256(json.dumps(self.command).encode())
        for config in self.configs:
            files = [config] if config.is_file() else config.rglob('*.py')
            for file in sorted(files):
                found.update(file.read_bytes())
        return found.hexdigest()


@dataclass
class Tool:
    """A step under way.

    Attributes:
        number (int): Of its step, from 1.
        process (subprocess.Popen): Leads a process group of its own.
        log (Path): What it prints.
        start (float): ``time.monotonic`` of its start.
        resumed (bool): Whether it goes on from a checkpoint.
        first (tuple, optional): Units done and seconds passed when its
            progress was first seen.
    """

    number: int
    process: subprocess.Popen
    log: Path
    start: float
    resumed: bool
    first: tuple[int, float] | None = None


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
        self.renewed = False  # a step was run, so later ones are too
        self.running: list[Tool] = []
        self.side: Tool | None = None  # the one that runs beside the others
        self.over: set[int] = set()  # steps that ended well in this run

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

        A step is run again if one before it was; one that runs beside
        others counts for the last step only.

        Raises:
            StepError: If a step fails.
        """
        planned = measured = 0.0
        try:
            for number, step in enumerate(self.steps, 1):
                if number == len(self.steps):
                    if self.side is not None:
                        self.watch(self.side)
                    self.renewed = bool(self.running)
                state = 'new' if self.renewed else self.state(number)
                if state == 'done':
                    print(f'[{number}/{len(self.steps)}] {step.title}: done')
                    continue
                tool = self.start(number, state)
                if step.beside:
                    self.side = tool
                    continue
                self.watch(tool)
                if state == 'new':
                    planned += step.seconds
                    measured += time.monotonic() - tool.start
                    self.ratio = measured / planned
        finally:
            for tool in self.running:
                if tool.process.poll() is None:
                    os.killpg(tool.process.pid, signal.SIGTERM)
                    tool.process.wait()

    def start(self, number: int, state: str) -> Tool:
        """Start a step's tool, its output to a log."""
        step = self.steps[number - 1]
        self.write_note(number, done=False)
        resumed = state == 'started' and bool(step.resume)
        self.renewed = self.renewed or not step.beside
        if step.resume and not resumed:
            for path in step.outputs:  # of other settings: not to resume
                path.unlink(missing_ok=True)
        env = dict(os.environ, PYTHONUNBUFFERED='1', PYTHONWARNINGS='ignore')
        if self.side is not None or step.beside:
            # two trainings with a thread on each core hinder each other
            half = max(1, (os.cpu_count() or 1) // 2)
            env.setdefault('OMP_NUM_THREADS', str(half))
        log = step.folder / f'step_{number}.log'
        with open(log, 'w', encoding='utf-8') as handle:
            process = subprocess.Popen(
                [sys.executable, *step.command] + (step.resume if resumed else []),
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        tool = Tool(number, process, log, time.monotonic(), resumed)
        self.running.append(tool)
        return tool

    def watch(self, tool: Tool) -> None:
        """Show how far a tool is until it ends; end with the other's failure.

        Raises:
            StepError: If it, or the one beside it, fails or does not make
                its outputs.
        """
        self.last_print = 0.0
        while tool.process.poll() is None:
            side = self.side
            if side not in (None, tool) and side.process.poll() is not None:
                self.finish(side)
            self.show(tool)
            time.sleep(0.5)
        self.finish(tool)

    def finish(self, tool: Tool) -> None:
        """Note that a tool has ended, and say so.

        Raises:
            StepError: If it failed or did not make its outputs.
        """
        step = self.steps[tool.number - 1]
        code = tool.process.returncode
        missing = [str(p) for p in step.outputs if not p.exists()]
        if code != 0 or missing:
            raise StepError(self.reason(step, tool.log, code, missing))
        self.write_note(tool.number, done=True)
        self.over.add(tool.number)
        if tool is self.side:
            self.side = None
        took = clock(time.monotonic() - tool.start)
        text = f'[{tool.number}/{len(self.steps)}] {step.title}: done in {took}'
        print(f'\r{text:<78}' if self.live else text, flush=True)

    def show(self, tool: Tool) -> None:
        """Print the line of progress."""
        now = time.monotonic()
        if not self.live and now - self.last_print < PLAIN_SECONDS:
            return
        self.last_print = now
        number, side = tool.number, self.side
        left, count = self.seconds_left(tool)
        last = len(self.steps)
        later = [
            other.seconds * self.ratio
            for i, other in enumerate(self.steps, 1)
            if i > number
            and i not in self.over
            and (self.renewed or i == last or self.state(i) != 'done')
        ]
        whole = left + sum(later)
        text = (
            f'[{number}/{len(self.steps)}] {self.steps[number - 1].title}: '
            f'{count}, {clock(left)} left'
        )
        if side is not None and side is not tool:
            other, count = self.seconds_left(side)
            whole = max(whole, other + sum(later[-1:]))
            text += f', [{side.number}/{len(self.steps)}]: {count}'
        text += f', whole demo {clock(whole)}'
        end = '' if self.live else '\n'
        print(f'\r{text:<78}' if self.live else text, end=end, flush=True)

    def seconds_left(self, tool: Tool) -> tuple[float, str]:
        """Time left of a running tool by its pace so far, and its count.

        What an earlier run has done does not count for the pace of a
        resumed step.
        """
        plan = self.steps[tool.number - 1].seconds * self.ratio
        passed = time.monotonic() - tool.start
        done, total = last_count(tool.log)
        if not done:
            return max(plan - passed, 1.0), 'starting'
        if tool.first is None:
            tool.first = (done, passed) if tool.resumed else (0, 0.0)
        count, start = tool.first
        if done <= count:  # just resumed: the plan's pace
            left = plan * (1 - done / total)
        else:
            left = (passed - start) / (done - count) * (total - done)
        return left, f'{done}/{total}'

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
