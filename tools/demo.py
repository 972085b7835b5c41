"""Train and score SLNP-GAN on ToyScenes from scratch.

Each step is a command that also works by hand. Existing results are kept, and a stopped training
resumes; to start over, remove work_dirs/demo.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import _cli as cli


def list_steps(out: Path, seed: int) -> dict:
    """Command and result of each step; a training's result is its complete log."""
    gan, scorer = 'configs/slnp_toy_plus.py', Path('work_dirs/deeplabv3_toy/scorer.json')
    prior = out / 'noise_prior'
    seeded = f'--cfg-options randomness.seed={seed}'
    with_prior = f'{seeded} model.prior_checkpoint={prior}'
    train, test = 'tools/train.py --resume --work-dir', 'tools/test.py --num-images 8 --work-dir'
    once = 'train_cfg.val_begin=1000000000'  # only the last step validates
    return {
        'data': ('tools/make_toyscenes.py', Path('data/toyscenes/toyscenes.json')),
        'scorer': ('tools/train_scorer.py configs/scorers/deeplabv3_toy.py', scorer),
        'prior': (f'{train} {prior} configs/noise_prior_toy_plus.py {seeded}', out / 'prior.log'),
        'gan': (f'{train} {out}/gan {gan} {with_prior} {once}', out / 'gan.log'),
        'scores': (f'{test} {out}/test {gan} {out}/gan {with_prior}', out / 'test/test_report.md'),
    }


class Demo:
    """Runs the steps of :func:`list_steps` and writes their logs to ``out``."""

    def __init__(self, steps: dict, out: Path) -> None:
        self.steps, self.out = steps, out
        self.running: dict[str, subprocess.Popen] = {}

    def start(self, name: str) -> None:
        """Start a step unless its result exists."""
        command, result = self.steps[name]
        if result.exists():
            print(f'{name:<6} {result} exists', flush=True)
            return
        print(f'{name:<6} {command}', flush=True)

        env = dict(os.environ, PYTHONUNBUFFERED='1', PYTHONWARNINGS='ignore')
        if name == 'scorer' or 'scorer' in self.running:
            # two trainings with a thread per core slow each other down
            env.setdefault('OMP_NUM_THREADS', str(max(1, (os.cpu_count() or 1) // 2)))
        self.out.mkdir(parents=True, exist_ok=True)
        with open(self.out / f'{name}.part', 'w', encoding='utf-8') as log:
            argv = [sys.executable, *command.split()]
            self.running[name] = subprocess.Popen(argv, stdout=log, stderr=log, env=env)

    def wait(self, name: str, pause: float = 15.0) -> None:
        """Wait for a step; every ``pause`` seconds show the time left of all running steps."""
        shown = time.monotonic()
        while name in self.running:
            time.sleep(0.2)
            for other, process in list(self.running.items()):
                if process.poll() is not None:
                    self.finish(other, process.returncode)
            if time.monotonic() - shown > pause:
                shown = time.monotonic()
                for other in self.running:
                    if line := self.last_line(other, ' eta: '):
                        print(f'{other:<6} {line[:93]}', flush=True)

    def finish(self, name: str, code: int) -> None:
        """Rename the log of a finished step, or report why the step failed."""
        part, result = self.out / f'{name}.part', self.steps[name][1]
        if code:
            why = self.last_line(name).removeprefix('error: ') or f'exit code {code}'
            raise cli.SLNPError(f'{name} failed: {why} (log: {part})')
        os.replace(part, self.out / f'{name}.log')
        del self.running[name]
        if not result.exists():
            raise cli.SLNPError(f'{name} exited without writing {result}')
        print(f'{name:<6} done', flush=True)

    def last_line(self, name: str, mark: str = '') -> str:
        """Last line of a log that contains ``mark``, without mmengine's prefix."""
        text = (self.out / f'{name}.part').read_text('utf-8', errors='replace')
        found = [line for line in text.splitlines() if mark in line and line.strip()]
        return found[-1].split(' - INFO - ')[-1] if found else ''


def main() -> None:
    """Run the steps, training the scorer in parallel with prior and GAN."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--seed', type=cli.seed, default=0, help='seed of prior and GAN (default: 0)'
    )
    seed = parser.parse_args().seed
    os.chdir(Path(__file__).resolve().parents[1])
    cli.stop_like_ctrl_c()

    out, start = Path(f'work_dirs/demo/seed_{seed}'), time.monotonic()
    demo = Demo(list_steps(out, seed), out)
    try:
        for name in demo.steps:
            if name == 'scores':
                demo.wait('scorer')
            demo.start(name)
            if name != 'scorer':
                demo.wait(name)
    except KeyboardInterrupt:
        print('error: stopped; run the same command again to resume', file=sys.stderr)
        sys.exit(130)
    finally:
        for process in demo.running.values():
            process.terminate()
            process.wait()

    report = demo.steps['scores'][1]
    images = report.parent.glob('*/vis_data/vis_image/test_samples*.png')
    table, *_ = report.read_text('utf-8').split('\n\n')
    print(f'\n{table}\n\nreport {report}\nimages {max(images, key=os.path.getmtime)}')
    print(f'took {time.monotonic() - start:.0f} s; to train on your own data, see docs/data.md')


if __name__ == '__main__':
    main()
