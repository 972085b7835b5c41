"""Score a folder of images, or compare two reports.

python tools/score.py configs/slnp_camvid.py --images made/ --out a.json
python tools/score.py --compare a.json b.json
"""

import argparse
import os
import sys

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')  # see tools/train.py

import _cli as cli  # noqa: E402

from slnp_mm.errors import check_device  # noqa: E402
from slnp_mm.evaluation import folder, report  # noqa: E402


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('config', nargs='?', help='config of the data set')
    parser.add_argument('--images', help='folder of images to score')
    parser.add_argument('--labels', help="label folder, else the config's")
    parser.add_argument('--real', help="real images, else the config's")
    parser.add_argument('--inception', help='Inception weights: adds FID')
    parser.add_argument('--scorer-checkpoint', help="else the config's")
    parser.add_argument('--out', help='report, .json (a .md is added)')
    parser.add_argument('--name', help='what made the images')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, ...')
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--compare', nargs=2, metavar='REPORT')
    parser.add_argument(
        '--force',
        action='store_true',
        help='compare although protocols differ',
    )
    parser.add_argument('--cfg-options', nargs='+', action=cli.DictAction, default={})
    args = parser.parse_args()
    if not args.compare and not (args.config and args.images):
        parser.error('give a config and --images, or --compare A B')
    if args.out and not args.out.endswith('.json'):
        parser.error(f'--out must end in .json, but got {args.out}')
    return args


def compare(paths: list, force: bool) -> int:
    """Print two reports side by side; 1 if their protocols differ."""
    first, second = map(report.load_report, paths)
    gaps = report.differences(first, second)
    for gap in gaps:
        print(f'protocols differ in {gap}', file=sys.stderr)
    if gaps and not force:
        print(
            'error: these reports cannot be compared; --force shows them side by side all the same',
            file=sys.stderr,
        )
        return 1
    print(report.compare(first, second, paths))
    return 0


def show(done: int, total: int) -> None:
    """Progress in place."""
    print(
        f'\rscored {done}/{total}',
        end='\n' if done == total else '',
        file=sys.stderr,
        flush=True,
    )


def main() -> int:
    """Score or compare."""
    args = parse_args()
    if args.compare:
        return compare(args.compare, args.force)
    check_device(args.device)
    cfg = cli.read_config(args.config, args.cfg_options)
    metrics = folder.build_metrics(cfg)
    for metric in metrics:
        if args.scorer_checkpoint and hasattr(metric, 'scorer_cfg'):
            metric.scorer_cfg['checkpoint'] = args.scorer_checkpoint
    if args.inception:
        from slnp_mm.evaluation import SLNPFID

        metrics.append(SLNPFID(weights=args.inception))
    dataset = folder.build_dataset(cfg, args.labels, args.real)
    folder.score_folder(dataset, metrics, args.images, args.batch_size, args.device, show)
    data, split = folder.names_of(dataset)
    result = report.build_report(
        metrics,
        dict(
            config=os.path.basename(args.config),
            name=args.name,
            images=os.path.basename(os.path.normpath(args.images)),
        ),
        data,
        split,
    )
    print(report.markdown(result))
    if args.out:
        print('written: ' + ', '.join(report.save_report(result, args.out)))
    return 0


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
