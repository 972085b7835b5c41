"""Train and score SLNP-GAN on drawn scenes, from nothing to a picture."""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from demo_steps import Demo, Step, StepError, clock  # noqa: E402
from stop_signals import stop_like_ctrl_c  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
DATA = Path('data/toyscenes')
SCORER = Path('work_dirs/deeplabv3_toy')
BASE = Path('configs/_base_')
NUM_PICTURES = 8


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seed', type=int, default=0, help='seed of prior and GAN')
    parser.add_argument('--out', default='work_dirs/demo', help='results')
    return parser.parse_args()


def make_steps(out: Path, seed: int) -> list:
    """List the steps; each is a command that a user may give as well."""
    prior, gan, test = out / 'noise_prior', out / 'gan', out / 'test'
    prior_config = Path('configs/noise_prior_toy.py')
    gan_config = Path('configs/slnp_toy.py')
    scorer_config = Path('configs/scorers/deeplabv3_toy.py')
    train, seeded = 'tools/train.py', f'randomness.seed={seed}'
    options = ['--cfg-options', seeded]
    prior_option = f'model.prior_checkpoint={prior}'
    return [
        Step(
            'draw ToyScenes',
            ['tools/make_toyscenes.py', '--out', str(DATA)]
            + '--num-train 800 --num-val 100 --size 128 --seed 0'.split(),
            [DATA / 'toyscenes.json'],
            [],
            25,
            out.parent,
        ),
        Step(
            'train the scorer on real images',
            ['tools/train_scorer.py', str(scorer_config)],
            [SCORER / 'scorer.pth', SCORER / 'scorer.json'],
            [scorer_config.parent],
            290,
            out.parent,
            beside=True,
        ),
        Step(
            'train the noise prior',
            [train, str(prior_config), '--work-dir', str(prior), *options],
            [prior / 'last_checkpoint'],
            [prior_config, BASE],
            100,
            out,
            ['--resume'],
        ),
        Step(
            'train the GAN',
            # no validation on the way: the last step does it
            [train, str(gan_config), '--work-dir', str(gan), *options]
            + [prior_option, 'train_cfg.val_begin=1000000000'],
            [gan / 'last_checkpoint'],
            [gan_config, BASE],
            270,
            out,
            ['--resume'],
        ),
        Step(
            'score and draw the validation images',
            ['tools/test.py', str(gan_config), str(gan)]
            + ['--work-dir', str(test), '--out', str(out / 'scores.json')]
            + ['--num-pictures', str(NUM_PICTURES), *options, prior_option],
            [out / 'scores.json'],
            [gan_config, BASE, scorer_config.parent],
            40,
            out,
        ),
    ]


def table(scores: dict) -> str:
    """Write the scores as a Markdown table, percent."""
    rows = [
        '| validation images | PA | mIoU |',
        '| :-- | --: | --: |',
        '| generated | {PA:.1f} | {mIoU:.1f} |',
        '| real (the same scorer) | {real/PA:.1f} | {real/mIoU:.1f} |',
        '| share reached | {share/PA:.0f} % | {share/mIoU:.0f} % |',
    ]
    return '\n'.join(row.format(**scores) for row in rows) + '\n'


def write_results(out: Path) -> str:
    """Write table and picture beside each other; give the table."""
    text = table(json.loads((out / 'scores.json').read_text('utf-8')))
    grids = (out / 'test').glob('*/vis_data/vis_image/test_samples*.png')
    grid = max(grids, key=lambda path: path.stat().st_mtime)
    shutil.copyfile(grid, out / 'picture.part')
    os.replace(out / 'picture.part', out / 'picture.png')
    (out / 'table.part').write_text(text, 'utf-8')
    os.replace(out / 'table.part', out / 'table.md')
    return text


def main() -> int:
    """Run the demo; 0 on success, 1 after an error sentence."""
    args = parse_args()
    os.chdir(ROOT)
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')  # see tools/train.py
    out = Path(args.out) / f'seed_{args.seed}'
    start = time.monotonic()
    stop_like_ctrl_c()
    try:
        Demo(make_steps(out, args.seed)).run()
    except StepError as error:
        print(f'\nerror: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nerror: stopped; the same command goes on', file=sys.stderr)
        return 130
    print(f'\n{write_results(out)}')
    print(f'took     {clock(time.monotonic() - start)}')
    print(f'table    {out}/table.md\npicture  {out}/picture.png')
    print('next     your own pictures and labels: docs/data.md, then')
    print('         python tools/train.py configs/slnp_coco_plus.py')
    return 0


if __name__ == '__main__':
    sys.exit(main())
