"""Train a generator on your own images and label maps.

python tools/fit.py data/mine --minutes 30
python tools/painter.py work_dirs/mine

It finds the data, writes configs to the work dir and runs the tools on them, printing each
command. After a stop, the same command continues.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import _cli as cli

BEGIN = time.time()
HERE = '{{ fileDirname }}'  # of the config, filled in by mmengine
DATA = """data = dict({data})
train_data = dict(data, {train})
val_data = dict(data, test_mode=True, {val})
"""
CONFIG = """_base_ = ['./data.py', 'slnp_mm::configs/{base}.py']
work_dir = '{here}/{name}'
train_dataloader = dict(
    batch_size={batch},
    dataset=dict(
        _base_.train_data, _delete_=True, image_size={side}, pipeline=_base_.train_pipeline
    ),
)
val_dataloader = dict(
    sampler=dict(shuffle=True, seed=0),  # the sheets show the first images of an order
    dataset=dict(_base_.val_data, _delete_=True, image_size={side}, pipeline=_base_.{steps}),
)
test_dataloader = dict(val_dataloader, sampler=dict(shuffle=False))
"""
MODELS = dict(
    prior="""
model = dict(code_rank={rank}, data_preprocessor=dict(num_classes={classes}))
train_cfg = dict(max_iters={prior}, val_begin={prior} + 1)
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval={save}))
custom_hooks = [dict(type='SLNPPriorHook'), dict(type='SLNPWatchHook')]
""",
    gan="""
model = dict(
    num_classes={classes},
    prior_checkpoint='{here}/prior',
    noise_prior=dict(code_rank={rank}),
    ema_config=dict(batch_size={batch}),
)
optim_wrapper = dict(generator=dict(type='{amp}'), discriminator=dict(type='{amp}'))
train_cfg = dict(max_iters={until}, val_interval={gan}, val_begin={until} + 1)
param_scheduler = dict(begin={gan} // 2, end={gan})
val_evaluator = dict(metrics={metrics})
test_evaluator = val_evaluator
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval={save}, save_best=None))
custom_hooks = [
    dict(type='SLNPPreflightHook', num_samples=8),
    dict(type='SLNPVisualizationHook', num_images=6, train_interval={sheet}),
    dict(type='SLNPReportHook'),
    dict(type='SLNPPriorHook'),
    dict(type='SLNPWatchHook'),
]
""",
    scorer="""
scorer = dict(checkpoint='{here}/scorer/scorer.pth')
model = dict(decode_head=dict(num_classes={classes}))
""",
)
METRICS = f"""[
    dict(type='SLNPSegMetric', scorer=dict(config='{HERE}/scorer.py')),
    dict(type='SLNPScorerFrechet', scorer=dict(config='{HERE}/scorer.py')),
]"""


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    style = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    add = parser.add_argument
    add('data', type=cli.path, help='folder with images and label maps')
    add('--minutes', type=cli.number, default=30, help='time for everything (default: 30)')
    add('--work-dir', type=cli.path, help='default: work_dirs/<name of the folder>')
    for kind in ('images', 'labels', 'instances'):
        add(f'--{kind}', type=cli.path, metavar='FOLDER', help=f'where the {kind} are')
    add('--label-suffix', help='what follows the name of an image, such as _mask.png')
    add('--classes', type=cli.path, help='file of class names, or names: sky,road,house')
    add('--unlabelled', help='classes, ids or colors (#e0e0c0) to leave out, or none')
    add('--val', type=cli.path, help='file with the names of the images for validation')
    add('--size', type=cli.number, help='side of the images, in pixels')
    add('--score', action='store_true', help='also train a segmentor, and score the images')
    args = parser.parse_args(words)
    args.work_dir = args.work_dir or f'work_dirs/{Path(args.data).resolve().name}'
    return args


class Fit:
    """The stages of a run; what the work dir has already is skipped."""

    lock: tuple[int, ...] = ()  # a file that tools keep open

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.out, self.child = args, Path(args.work_dir), None
        state = self.out / 'plan.json'
        self.plan = json.loads(state.read_text()) if state.is_file() else {}
        self.start = BEGIN - self.plan.get('seconds', 0)  # as if never stopped

    def left(self) -> float:
        """Seconds left of the time given."""
        return 60 * self.args.minutes - (time.time() - self.start)

    def run(self) -> None:
        """Do what is left to do."""
        out, name = self.out, self.out.resolve().name
        key = {k: v for k, v in vars(self.args).items() if k not in ('data', 'work_dir')}
        key['files'] = fingerprint(self.args.data)
        for option, was in self.plan.get('key', {}).items():
            if 'end' in self.plan and key[option] != was:
                raise cli.SLNPError(
                    f'{out} was planned with {option} {was}, but now it is {key[option]}: give '
                    'another --work-dir, or remove this one'
                )
        if 'end' not in self.plan:
            self.prepare(key)
        self.tool('prior', 'train', '--resume', made=f'prior/iter_{self.plan["prior"]}.pth')
        if self.args.score:
            words = '--max-iters', self.plan['scorer']
            self.tool('scorer', 'train_scorer', *words, made='scorer/scorer.pth')
        if not (out / 'gan').exists():  # the time before was more or less than planned
            spare = self.left() - self.plan['end'] - self.plan['start']
            self.write(gan=self.affordable('gan', spare))
        self.tool('gan', 'train', '--resume', made=f'gan/iter_{self.plan["until"]}.pth')
        spare = self.left() - self.plan['end'] - self.plan['start']
        if spare > 3 * self.args.minutes and not (out / f'{name}.pth').exists():
            self.plan['pace']['gan'] = self.logged('gan')[-1]['time']  # less than planned
            self.write(until=self.plan['until'] + self.affordable('gan', spare))
            self.tool('gan', 'train', '--resume', made=f'gan/iter_{self.plan["until"]}.pth')
        if self.args.score:
            words = f'{out}/gan', '--work-dir', f'{out}/test'
            self.tool('gan', 'test', *words, made='test/test_report.md')
        self.tool('', 'publish', f'{out}/gan', f'{out}/{name}', made=f'{name}.pth')
        for path in out.glob(f'{name}-????????.pth'):
            path.replace(out / f'{name}.pth')
        write(out / 'last_checkpoint', f'{name}.pth')  # tools take the folder for it
        self.report()

    def prepare(self, key: dict) -> None:
        """Find and check the data, choose sizes, measure and plan."""
        from _layouts import find_layout

        args, out = self.args, self.out
        found = find_layout(Path(args.data), args, out)
        for what, taken in found['told'].items():
            print(f'{what:<28}{taken}', flush=True)
        for split, names in found['lists'].items():
            write(out / f'{split}.txt', '\n'.join(names))
            found[split] = dict(found[split], ann_file=f'{out.absolute()}/{split}.txt')

        # sizes
        memory = gpu_memory()
        short, count = found['short_side'], found['count']
        side = 256 if short > 192 and memory > 8 else 128 if short > 96 else 64
        texts = {
            part: ', '.join(f'{name}={value!r}' for name, value in found[part].items())
            for part in ('data', 'train', 'val')
        }
        self.write(
            **texts,
            key=key,
            told=found['told'],
            examples=os.path.join(args.data, found['val']['data_prefix']['label']),
            pace={},
            gan=8,
            prior=8,
            side=args.size or side,
            batch=16 if memory > 20 else 4,
            rank=min(64, max(count // 4, 1)),
            classes=len(found['data']['metainfo']['classes']),
            amp=cli.amp_wrapper(),
        )
        words = '--json', f'{out}/check.json', '--sheet', f'{out}/data.png', '--limit', 4000
        self.tool('gan', 'check_dataset', *words)

        # pace
        pace, probe = self.plan['pace'], ['--work-dir', f'{out}/probe']
        stages = dict(
            prior=('train', []),
            gan=('train', ['model.noise=random', 'model.code_share=0']),
            scorer=('train_scorer', ['train_cfg.max_iters=8', 'val_dataloader.dataset.indices=4']),
        )
        for name in [*stages][: 2 + args.score]:
            options = '--cfg-options', 'default_hooks.logger.interval=1', *stages[name][1]
            shutil.rmtree(out / 'probe', ignore_errors=True)  # of a run that was killed
            before = self.left()
            self.tool(name, stages[name][0], *probe, *options)
            means = [line['time'] for line in self.logged('probe')]  # from the start on
            pace[name] = (len(means) * means[-1] - 3 * means[2]) / (len(means) - 3)
            self.plan['start'] = before - self.left() - len(means) * means[-1]
            shutil.rmtree(out / 'probe')
        left, start = self.left(), self.plan['start']
        end = start + 0.02 * left + 60 * args.score  # publishing and scoring
        prior = min(self.affordable('prior', 0.12 * left), 2000)
        scorer = self.affordable('scorer', 0.15 * left) if args.score else 0
        rest = left - end - prior * pace['prior'] - scorer * pace.get('scorer', 0)
        rest -= start * len(pace)
        self.write(prior=prior, scorer=scorer, end=end, gan=self.affordable('gan', rest))
        for name in pace:
            print(f'{name:<8}{self.plan[name]} iterations of {pace[name]:.2f} s planned')

    def affordable(self, name: str, seconds: float) -> int:
        """Iterations that fit into a time; an error if the plan has fewer than ten."""
        number = int(seconds / self.plan['pace'][name])
        if number < 10 and 'end' not in self.plan:
            raise cli.SLNPError(
                f'--minutes {self.args.minutes} leaves time for {max(number, 0)} iterations of '
                f'the {name} ({self.plan["pace"][name]:.1f} s each), expected 10 or more: give more'
            )
        return max(number, 10)

    def write(self, **values) -> None:
        """Change the plan; write it and the configs."""
        plan = self.plan
        plan.update(values)
        if 'gan' in values:
            pace = plan['pace'].get('gan', 1)
            plan['until'], plan['save'] = plan['gan'], int(60 / pace) + 1
            plan['sheet'] = max(1, plan['gan'] // max(3, int(plan['gan'] * pace / 180)))
        metrics = METRICS if self.args.score else '[]'
        options = plan | dict(here=HERE, metrics=metrics, steps='val_pipeline')
        judge = dict(side=(128, 128), base='scorers/deeplabv3_lite2_camvid', steps='test_pipeline')
        own = dict(
            prior=dict(side=64, batch=16, base='noise_prior_camvid_plus'),
            gan=dict(base='slnp_camvid_plus'),
            scorer=dict(judge, batch=4),
        )
        write(self.out / 'data.py', DATA.format(**plan).replace(str(self.out.absolute()), HERE))
        for name in [*own][: 2 + self.args.score]:
            text = (CONFIG + MODELS[name]).format(**options | own[name], name=name)
            write(self.out / f'{name}.py', text)
        self.keep()

    def keep(self) -> None:
        """Write the plan and the time spent."""
        state = dict(self.plan, seconds=time.time() - self.start)
        write(self.out / 'plan.json', json.dumps(state, indent=1))

    def tool(self, name: str, tool: str, *words, made: str = '') -> None:
        """Run a tool on a config as from the command line, unless what it makes exists."""
        if made and (self.out / made).exists():
            return
        words = [f'{self.out}/{name}.py'] * bool(name) + [str(word) for word in words]
        log, shown, late = self.out / f'{tool}.log', time.time(), False
        print(f'tools/{tool}.py {" ".join(words)}', flush=True)
        argv = [sys.executable, str(Path(__file__).with_name(f'{tool}.py')), *words]
        with open(log, 'w', encoding='utf-8') as file:
            self.child = subprocess.Popen(argv, stdout=file, stderr=file, pass_fds=self.lock)
        while self.child.poll() is None:
            time.sleep(0.2)
            if time.time() > shown + 20:
                shown = time.time()
                self.show(name)
            if made.startswith('gan') and self.left() < self.plan['end'] - 3 * self.args.minutes:
                late = late or not self.child.terminate()  # it saves first
        self.show(name)
        if late:  # the config tells how far it came
            reached = max(int(path.stem[5:]) for path in self.out.glob('gan/iter_*.pth'))
            print(f'the machine became slower: the GAN ends at iteration {reached}', flush=True)
            self.write(until=reached)
        elif code := self.child.returncode:
            lines = [x for x in log.read_text(errors='replace').split('\n') if x and x[0] != '[']
            print('\n'.join(lines) if tool == 'check_dataset' else '', flush=True)
            why = lines[-1].removeprefix('error: ').strip() if lines else f'exit code {code}'
            raise cli.SLNPError(f'tools/{tool}.py failed: {why} (log: {log})')

    def show(self, name: str) -> None:
        """Print how far a training is, and replace the sheet by the last one."""
        self.keep()
        for line in self.logged(name)[-1:] if self.plan['pace'] else []:
            length = self.plan['until' if name == 'gan' else name]
            done, pace = f'{line["step"]}/{length}', line['time']
            rest = max(self.left(), 0) / 60
            print(f'{name:<8}{done}, {pace:.2f} s each, {rest:.1f} minutes left', flush=True)
        for sheet in self.sheets()[-1:]:
            shutil.copyfile(sheet, self.out / '.latest.png')
            os.replace(self.out / '.latest.png', self.out / 'latest.png')

    def logged(self, name: str) -> list[dict]:
        """What a training logged, over all its starts, without validations."""
        found = sorted(self.out.glob(f'{name}/*/vis_data/scalars.json')) if name else []
        lines = [line for path in found for line in path.read_text().split('\n')[:-1]]
        return [line for line in map(json.loads, lines) if any(key[-2:] == 'lr' for key in line)]

    def sheets(self) -> list[Path]:
        """Sheets of val images, in the order of training."""
        found = self.out.glob('gan/*/vis_data/vis_image/train_samples_*.png')
        return sorted(found, key=lambda path: int(path.stem.split('_')[-1]))

    def report(self) -> None:
        """Write the report and say what to do next."""
        plan, out, sheets = self.plan, self.out, self.sheets()
        spent = (time.time() - self.start) / 60
        rows = dict(plan['told'], size=f'{plan["side"]} px, batch {plan["batch"]}')
        for name, pace in plan['pace'].items():
            length = plan['until' if name == 'gan' else name]
            rows[name] = f'{length} iterations, {pace:.2f} s each when measured'
        rows['time'] = f'{spent:.1f} of {self.args.minutes} minutes'
        draw_curves({name: self.logged(name) for name in ('prior', 'gan')}, out / 'curves.png')
        parts = [f'# {out.resolve().name}\n\n| | |\n| :-- | :-- |']
        parts[0] += ''.join(f'\n| {what} | {taken} |' for what, taken in rows.items())
        parts += ['![image, labels, instances](data.png)', '![losses by iteration](curves.png)']
        for sheet in sheets[len(sheets) % 3 + len(sheets) // 3 - 1 :: max(len(sheets) // 3, 1)]:
            parts.append(f'Iteration {sheet.stem.split("_")[-1]}:')
            parts.append(f'![label, stages, real]({sheet.relative_to(out)})')
        if self.args.score:
            parts.append((out / 'test/test_report.md').read_text())
        parts.append(
            NEXT.format(**plan, work_dir=out, folder=self.args.data, more=4 * self.args.minutes)
        )
        write(out / 'report.md', '\n\n'.join(parts))
        print(f'report  {out}/report.md')
        print(f'paint   python tools/painter.py {out} --examples {plan["examples"]}')


NEXT = """Next:

- Paint: `python tools/painter.py {work_dir} --examples {examples}`
- Images of a folder of label maps:
  `python tools/generate.py {work_dir}/gan.py {work_dir} --labels {examples} --out FOLDER`
- Better images: `python tools/fit.py {folder} --minutes {more} --work-dir {work_dir}_long`
- Other settings: edit `{work_dir}/gan.py`, then `python tools/train.py {work_dir}/gan.py`
"""


def gpu_memory() -> int:
    """Memory of the GPU in GB, 0 without one."""
    import torch

    if not torch.cuda.is_available():
        return 0
    return torch.cuda.get_device_properties(0).total_memory >> 30


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    from slnp_mm.files import replace_file

    with replace_file(path) as draft:
        Path(draft).write_text(text, encoding='utf-8')


def fingerprint(root: str) -> str:
    """Digest of the names and sizes of all files in a folder."""
    walk = os.walk(root, followlinks=True)
    paths = sorted(os.path.join(place, name) for place, _, names in walk for name in names)
    lines = [f'{os.path.relpath(path, root)} {os.path.getsize(path)}' for path in paths]
    return hashlib.sha1('\n'.join(lines).encode()).hexdigest()[:12]


def draw_curves(trainings: dict[str, list[dict]], path: Path) -> None:
    """Draw the losses that trainings logged."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.5), layout='tight')
    for ax, (name, lines) in zip(figure.subplots(1, 2), trainings.items()):
        for key in [key for key in (lines or [{}])[-1] if key.startswith('loss_')]:
            rows = [line for line in lines if key in line]
            steps, values = zip(*((row['step'], row[key]) for row in rows))
            ax.plot(steps, values, label=key.removeprefix('loss_'))
        ax.set(xlabel=f'iteration of the {name}', yscale='log')
        ax.legend(fontsize=6)
    figure.savefig(path)


def main() -> None:
    """Run; when stopped, let the tool that runs save."""
    args = parse_args()
    cli.need(args.data, 'folder', 'check the path', os.path.isdir)
    cli.keep_inputs(args.work_dir, [args.data], '--work-dir')
    cli.need_folder(args.work_dir)
    os.makedirs(args.work_dir, exist_ok=True)
    cli.stop_like_ctrl_c()

    with open(f'{args.work_dir}/.lock', 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print('waiting for the tool of an earlier run that still works', flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        fit = Fit(args)
        fit.lock = (lock.fileno(),)
        try:
            fit.run()
        finally:
            if fit.child and fit.child.poll() is None:
                print('stopping; the same command continues', flush=True)
                fit.child.terminate()
                fit.child.wait()
                fit.keep()


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
