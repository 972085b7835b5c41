"""Train a generator on your own images and label maps.

python tools/fit.py data/mine --minutes 30
python tools/painter.py work_dirs/mine

It finds the data, writes configs to the work dir and runs the tools on them, whose commands it
prints. After a stop, the same command continues.
"""

import argparse
import ctypes
import fcntl
import hashlib
import json
import multiprocessing
import os
import runpy
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from statistics import median

import _cli as cli

BASES = 'slnp_mm::configs/_base_/'
RUNTIME, PAIRS = BASES + 'default_runtime.py', BASES + 'datasets/pairs.py'
HERE = '{{ fileDirname }}'
LOADERS = """
train_dataloader = dict(
    batch_size={batch},
    dataset=dict(_base_.train_data, image_size={side}, pipeline=_base_.train_pipeline),
)
val_dataloader = dict(
    dataset=dict(_base_.val_data, image_size={side}, pipeline=_base_.{val_pipeline}),
)
test_dataloader = val_dataloader
"""
DATA = """data = dict({data})
train_data = dict(data, {train})
val_data = dict(data, test_mode=True, {val})
"""
PRIOR = """
model = dict(base_channels=16, code_rank={rank}, data_preprocessor=dict(num_classes={classes}))
train_cfg = dict(max_iters={prior}, val_begin={prior} + 1)
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval={save}, save_best=None))
custom_hooks = [dict(type='SLNPPriorHook'), dict(type='SLNPWatchHook')]
"""
GAN = """
model = dict(
    num_classes={classes},
    prior_checkpoint='{here}/prior',
    noise_prior=dict(code_rank={rank}),
    discriminator=dict(upsample_factor=(1.2, 1.8)),
    ema_config=dict(batch_size={batch}),
)
optim_wrapper = dict(generator=dict(type='{amp}'), discriminator=dict(type='{amp}'))
train_cfg = dict(max_iters={until}, val_interval={gan}, val_begin={gan} + 1)
param_scheduler = dict(begin={gan} // 2, end={gan})
val_evaluator = dict(type='Evaluator', metrics={metrics})
test_evaluator = val_evaluator
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval={save}, save_best=None))
custom_hooks = [
    dict(type='SLNPPreflightHook', num_samples=8),
    dict(type='SLNPVisualizationHook', num_images=6, train_interval={sheet}),
    dict(type='SLNPReportHook'),
    dict(type='SLNPPriorHook'),
    dict(type='SLNPWatchHook'),
]
"""
SCORER = """
scorer = dict(checkpoint='{here}/scorer/scorer.pth')
model = dict(decode_head=dict(num_classes={classes}))
"""
METRICS = """[
    dict(type='SLNPSegMetric', scorer=dict(config='{here}/scorer.py')),
    dict(type='SLNPScorerFrechet', scorer=dict(config='{here}/scorer.py'), manifold=False),
]"""


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    kind = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    add = parser.add_argument
    add('data', type=cli.path, help='folder with images and label maps')
    add('--minutes', type=float, default=30, help='time for everything (default: 30)')
    add('--work-dir', type=cli.path, help='default: work_dirs/<name of the folder>')
    for kind in ('images', 'labels', 'instances'):
        add(f'--{kind}', type=cli.path, metavar='FOLDER', help=f'where the {kind} are')
    add('--label-suffix', help='what follows the name of an image, such as _mask.png')
    add('--classes', type=cli.path, help='file of class names, or names: sky,road,house')
    add('--unlabelled', help='classes, ids or colors (#e0e0c0) to leave out, or none')
    add('--val', type=cli.path, help='file with the names of the images for validation')
    add('--size', type=cli.number, help='side of the images, in pixels')
    add('--score', action='store_true', help='also train a segmentor, and score the images')
    return parser.parse_args(words)


class Fit:
    """The stages of a run; what a work dir has already is skipped."""

    def __init__(self, args: argparse.Namespace) -> None:
        name = Path(args.data).resolve().name
        self.args, self.out, self.child = args, Path(args.work_dir or f'work_dirs/{name}'), 0
        self.state = self.out / 'plan.json'
        self.plan = json.loads(self.state.read_text()) if self.state.is_file() else {}
        self.start = time.time() - self.plan.get('seconds', 0)  # as if it had never been stopped

    def left(self) -> float:
        """Seconds left of the time given."""
        return 60 * self.args.minutes - (time.time() - self.start)

    def run(self) -> None:
        """Do what is left to do."""
        out, name = self.out, self.out.resolve().name
        key = {k: v for k, v in vars(self.args).items() if k not in ('data', 'work_dir')}
        key['files'] = fingerprint(self.args.data)
        for option, was in self.plan.get('key', {}).items():
            if key[option] != was:
                raise cli.SLNPError(
                    f'{out} was planned with {option} {was}, but now it is {key[option]}: give '
                    'another --work-dir, or remove this one'
                )
        if 'pace' not in self.plan:
            self.prepare(key)
        self.train('prior')
        if self.args.score:
            words = ('--max-iters', self.plan['scorer'])
            self.tool('scorer', 'train_scorer', f'{out}/scorer.py', *words, made='scorer/scorer.pth')
        if not any((out / 'gan').glob('*')):  # the prior took more or less time than planned
            self.write(gan=self.affordable('gan', self.left() - self.plan['end']))
        self.train('gan')
        if self.args.score:
            words = (f'{out}/gan.py', f'{out}/gan', '--work-dir', f'{out}/test')
            self.tool('test', 'test', *words, made='test/test_report.md')
        self.tool('publish', 'publish', f'{out}/gan', f'{out}/{name}', made=f'{name}.pth')
        for path in out.glob(f'{name}-????????.pth'):
            path.replace(out / f'{name}.pth')
        write(out / 'last_checkpoint', f'{name}.pth')  # tools take the work dir for it
        self.report()

    def prepare(self, key: dict) -> None:
        """Find and check the data, choose sizes, measure and plan."""
        import torch
        from _layouts import find_layout, short_side

        args, out = self.args, self.out
        found = find_layout(Path(args.data), args, out)
        for what, taken in found['told'].items():
            print(f'{what:<28}{taken}', flush=True)
        for split, names in found['lists'].items():
            write(out / f'{split}.txt', '\n'.join(names))
            found[split]['ann_file'] = f'{out.absolute()}/{split}.txt'

        # sizes
        gpu = torch.cuda.is_available()
        memory = torch.cuda.get_device_properties(0).total_memory >> 30 if gpu else 0
        short, count = short_side(found['images']), len(found['images'])
        sides = [side for side in (256, 128) if short > 0.75 * side and (side < 256 or memory > 8)]
        bf16 = gpu or 'avx512_bf16' in Path('/proc/cpuinfo').read_text()
        texts = {k: ', '.join(f'{a}={b!r}' for a, b in found[k].items()) for k in ('data', 'train', 'val')}
        self.write(
            **texts, told=found['told'], key=key, pace={}, prior=8, gan=8, until=8, save=100, sheet=100,
            side=args.size or (sides or [64])[0], batch=16 if memory > 20 else 4,
            half='_half' if not gpu or count < 2000 else '', rank=min(64, max(count // 4, 1)),
            classes=len(found['data']['metainfo']['classes']),
            amp='SLNPBF16OptimWrapper' if bf16 else 'OptimWrapper',
        )
        words = ['--json', f'{out}/check.json', '--sheet', f'{out}/data.png', '--limit', 4000]
        self.tool('check', 'check_dataset', f'{out}/gan.py', *words)

        # pace
        pace = {}
        probe = ['--work-dir', f'{out}/probe', '--cfg-options', 'default_hooks.logger.interval=1']
        for name, more in (('prior', []), ('gan', ['model.noise=random', 'model.code_share=0'])):
            self.tool('measure', 'train', f'{out}/{name}.py', *probe, *more)
            pace[name] = median(line['time'] for line in self.logged('probe')[2:])
            shutil.rmtree(out / 'probe')
        if args.score:
            pace['scorer'] = 2 * pace['prior']
        left = self.left()
        self.plan.update(pace=pace, end=10 + 0.02 * left + 60 * args.score)
        scorer = self.affordable('scorer', 0.15 * left) if args.score else 0
        prior = min(self.affordable('prior', 0.12 * left), 2000)
        gan = left - prior * pace['prior'] - self.plan['end'] - 0.15 * left * args.score
        self.write(prior=prior, gan=self.affordable('gan', gan), scorer=scorer)
        for name in pace:
            print(f'plan    {name}: {self.plan[name]} iterations of {pace[name]:.2f} s')

    def affordable(self, name: str, seconds: float) -> int:
        """Iterations that fit into a time."""
        number = int(seconds / self.plan['pace'][name])
        if number < 10:
            raise cli.SLNPError(
                f'--minutes {self.args.minutes:g} leave time for {max(number, 0)} iterations of '
                f'{name} at {self.plan["pace"][name]:.1f} s: give more'
            )
        return number

    def write(self, **values) -> None:
        """Change the plan; write it and the configs."""
        plan = self.plan
        plan.update(values)
        if 'gan' in values:
            pace = plan['pace'].get('gan', 1)
            plan['until'], plan['save'] = plan['gan'], int(60 / pace) + 1
            plan['sheet'] = plan['gan'] // max(3, int(plan['gan'] * pace / 180))
        options = dict(here=HERE, val_pipeline='val_pipeline')
        options['metrics'] = METRICS.format(here=HERE) if self.args.score else '[]'
        options = plan | options
        models = [f'models/noise_prior.py', f'models/slnp_gan_plus{plan["half"]}.py']
        schedules = ['schedules/noise_prior.py', 'schedules/amm_plus_40k.py']
        small = options | dict(side=64, batch=16)
        judge = options | dict(side=(128, 128), batch=4, val_pipeline='test_pipeline')
        texts = dict(data=DATA.format(**options))
        texts['prior'] = config('prior', [RUNTIME, PAIRS, BASES + models[0], BASES + schedules[0]], (LOADERS + PRIOR).format(**small))
        texts['gan'] = config('gan', [RUNTIME, PAIRS, BASES + models[1], BASES + schedules[1]], (LOADERS + GAN).format(**options))
        if self.args.score:
            texts['scorer'] = config('scorer', ['slnp_mm::configs/scorers/_base_/deeplabv3_lite2.py'], (LOADERS + SCORER).format(**judge))
        for name, text in texts.items():
            write(self.out / f'{name}.py', text.replace(str(self.out.absolute()), HERE))
        self.keep()

    def keep(self) -> None:
        """Write the plan and the time spent."""
        write(self.state, json.dumps(dict(self.plan, seconds=time.time() - self.start), indent=1))

    def train(self, name: str) -> None:
        """Train up to the plan's iterations, or until there is no more time."""
        length = self.plan['until' if name == 'gan' else name]
        try:
            self.tool(name, 'train', f'{self.out}/{name}.py', '--resume', made=f'{name}/iter_{length}.pth')
        except TimeoutError:  # slower than measured: the config tells how far it came
            reached = max(int(p.stem[5:]) for p in (self.out / name).glob('iter_*.pth'))
            print(f'{name} ends at iteration {reached} of {length}: the machine became slower')
            self.write(until=reached)

    def tool(self, name: str, tool: str, *words, made: str = '') -> None:
        """Run a tool as from the command line, unless what it makes exists."""
        if made and (self.out / made).exists():
            return
        words, log = [str(word) for word in words], self.out / f'{name}.log'
        print(f'{name:<8}tools/{tool}.py {" ".join(words)}', flush=True)
        self.child = os.fork()  # nothing is imported again
        if not self.child:
            start_tool(tool, words, log)
        shown, late = time.time(), False
        while not (state := os.waitpid(self.child, os.WNOHANG))[0]:
            time.sleep(0.2)
            if time.time() > shown + 20:
                shown = time.time()
                self.show(name)
            if name == 'gan' and not late and self.left() < self.plan['end'] - 3 * self.args.minutes:
                late = True
                os.kill(self.child, signal.SIGTERM)  # it saves first
        self.child = 0
        self.show(name)
        if late:
            raise TimeoutError
        if code := os.waitstatus_to_exitcode(state[1]):
            lines = [x for x in log.read_text(errors='replace').split('\n') if x and x[0] != '[']
            if name == 'check':
                print('\n'.join(lines))
            raise cli.SLNPError(f'{name} failed: {lines[-1].removeprefix("error: ")} (log: {log})')

    def show(self, name: str) -> None:
        """Print how far a training is, and replace the sheet by the last one."""
        self.keep()
        lines = self.logged(name)
        if lines and name in self.plan['pace']:
            print(
                f'{name:<8}{lines[-1]["step"]}/{self.plan[name]}, {lines[-1]["time"]:.2f} s an '
                f'iteration, {max(self.left(), 0) / 60:.1f} minutes left',
                flush=True,
            )
        for sheet in self.sheets()[-1:]:
            shutil.copyfile(sheet, self.out / '.latest.png')
            os.replace(self.out / '.latest.png', self.out / 'latest.png')

    def logged(self, name: str) -> list[dict]:
        """What a training logged, over all its starts."""
        found = sorted((self.out / name).glob('*/vis_data/scalars.json'))
        lines = [line for path in found for line in path.read_text().split('\n')[:-1]]
        return [line for line in map(json.loads, lines) if 'time' in line]

    def sheets(self) -> list[Path]:
        """Sheets of val images, in the order of training."""
        found = self.out.glob('gan/*/vis_data/vis_image/train_samples_*.png')
        return sorted(found, key=lambda path: int(path.stem.split('_')[-1]))

    def report(self) -> None:
        """Write the report and say what to do next."""
        plan, out = self.plan, self.out
        draw_curves(self.logged('prior'), self.logged('gan'), out / 'curves.png')
        sheets = self.sheets()
        sheets = [sheets[len(sheets) * (i + 1) // 3 - 1] for i in range(3)] if sheets else []
        rows = [f'| {what} | {taken} |' for what, taken in plan['told'].items()]
        rows += [f'| {name} | {plan[name]} iterations of {pace:.2f} s |' for name, pace in plan['pace'].items()]
        rows += [f'| images | {plan["side"]} px, batch {plan["batch"]} |', f'| time | {(time.time() - self.start) / 60:.1f} of {self.args.minutes:g} minutes |']
        parts = [f'# {out.resolve().name}', '| | |\n| :-- | :-- |\n' + '\n'.join(rows), '![data](data.png)', '![losses](curves.png)']
        for sheet in sheets:
            parts.append(f'Iteration {sheet.stem.split("_")[-1]}:\n\n![]({sheet.relative_to(out)})')
        if self.args.score:
            parts.append((out / 'test/test_report.md').read_text())
        parts.append('Next.')
        write(out / 'report.md', '\n\n'.join(parts) + '\n')
        print(f'report  {out}/report.md\npaint   python tools/painter.py {out}')


def config(name: str, bases: list[str], text: str) -> str:
    """Text of a config."""
    listed = ''.join(f'    {base!r},\n' for base in ['./data.py', *bases])
    return f"# Written by tools/fit.py.\n_base_ = [\n{listed}]\nwork_dir = '{HERE}/{name}'{text}"


def start_tool(tool: str, words: list[str], log: Path) -> None:
    """Become a tool that writes to a log; it ends with this process."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        sys.argv = [str(Path(__file__).with_name(f'{tool}.py')), *words]
        runpy.run_path(sys.argv[0], run_name='__main__')
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for worker in multiprocessing.active_children():  # they ignore SIGTERM
            worker.kill()
        os._exit(code if isinstance(code, int) else 1)


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    from slnp_mm.files import replace_file

    with replace_file(path) as draft:
        Path(draft).write_text(text, encoding='utf-8')


def fingerprint(root: str) -> str:
    """Digest of the names and sizes of all files in a folder."""
    places = sorted(os.path.join(place, name) for place, _, names in os.walk(root, followlinks=True) for name in names)
    lines = [f'{os.path.relpath(place, root)} {os.path.getsize(place)}' for place in places]
    return hashlib.sha1('\n'.join(lines).encode()).hexdigest()[:12]


def draw_curves(prior: list[dict], gan: list[dict], path: Path) -> None:
    """Draw the losses of prior and GAN."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout='tight')
    axes = figure.subplots(1, 2)
    for ax, lines, words in ((axes[0], prior, ('recon',)), (axes[1], gan, ('gan_d', 'gan_g', 'fm'))):
        for key in lines[-1] if lines else ():
            if any(word in key for word in words):
                rows = [line for line in lines if key in line]
                ax.plot([row['step'] for row in rows], [row[key] for row in rows], label=key)
        ax.set_xlabel('iteration')
        ax.legend(fontsize=6)
    figure.savefig(path)


def main() -> None:
    """Run, and stop the tool that runs when stopped."""
    args = parse_args()
    cli.need(args.data, 'folder', 'check the path', os.path.isdir)
    fit = Fit(args)
    cli.keep_inputs(str(fit.out), [args.data], '--work-dir')
    cli.need_folder(str(fit.out))
    fit.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')  # or CUDA fails after a fork
    os.environ.setdefault('PYTHONWARNINGS', 'ignore')
    lock = open(fit.out / '.lock', 'w')  # also kept by the tool that runs
    fcntl.flock(lock, fcntl.LOCK_EX)
    cli.stop_like_ctrl_c()

    import cv2
    from mmagic.registry import MODELS

    import _runner  # noqa: F401

    cv2.setNumThreads(0)  # threads do not survive a fork
    MODELS.import_from_location()
    try:
        fit.run()
    finally:
        if fit.child:
            os.kill(fit.child, signal.SIGTERM)
            os.waitpid(fit.child, 0)
            fit.keep()


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
