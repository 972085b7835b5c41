"""Score a folder of images, or compare two reports.

python tools/score.py configs/slnp_camvid.py --images made/ --out a.json
python tools/score.py configs/slnp_camvid.py --training --out floor.json
python tools/score.py --compare a.json b.json
"""

import argparse
import os
import sys

import _cli as cli


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add('config', nargs='?', type=cli.path, help='config file of the dataset')
    add('--images', type=cli.path, help='folder of images to score')
    training = 'score real training images instead, as a lower bound of the distances'
    add('--training', action='store_true', help=training)
    add('--labels', type=cli.path, help="folder of label maps (default: the config's)")
    add('--real', type=cli.path, help="folder of real images (default: the config's)")
    add('--inception', type=cli.path, help='weights of Inception, to compute FID as well')
    scorer = "weights of the scorer (default: the config's)"
    add('--scorer-checkpoint', type=cli.path, help=scorer)
    add('--out', type=cli.path, help='.json file for the report; a .md file is written next to it')
    add('--name', help='name of the generator, for the report')
    add('--device', type=cli.device, default='cpu', help='cpu, cuda or cuda:N (default: cpu)')
    add('--batch-size', type=cli.number, default=16, help='images per batch (default: 16)')
    add('--compare', nargs=2, type=cli.path, metavar='REPORT', help='compare two reports')
    add('--force', action='store_true', help='compare even if protocols differ')
    cli.add_config_options(parser)
    args = parser.parse_args()
    asked = args.config or args.images or args.training or args.out
    if bool(args.compare) == bool(asked):
        parser.error('give a config and --images, or --compare A B alone')
    if not args.compare and not (args.config and bool(args.images) != args.training):
        parser.error('give a config and --images or --training')
    if args.out and not args.out.endswith('.json'):
        parser.error(f'--out must end in .json, but got {args.out}')
    return args


def compare(paths: list, force: bool) -> None:
    """Print two reports side by side; fail if their protocols differ, unless forced."""
    from slnp_mm.evaluation import report

    first, second = map(report.load_report, paths)
    gaps = report.differences(first, second)
    for gap in gaps:
        print(f'protocols differ in {gap}', file=sys.stderr)
    if gaps and not force:
        raise cli.SLNPError(
            'these reports cannot be compared; use --force to print them side by side anyway'
        )
    print(report.compare(first, second, paths))


def main() -> None:
    """Score or compare."""
    args = parse_args()
    if args.compare:
        for path in args.compare:
            cli.need(path, 'report', 'write one with tools/score.py --out')
        return compare(args.compare, args.force)
    folders = (args.images, 'images'), (args.labels, 'labels'), (args.real, 'real images')
    for path, what in folders:
        if path:
            cli.need(path, f'folder of {what}', 'check the path', os.path.isdir)
    for path, what in ((args.inception, 'Inception'), (args.scorer_checkpoint, 'scorer')):
        if path and '://' not in path:
            cli.need(path, f'{what} weights', 'check the path')
    cfg = cli.read_config(args.config, args.cfg_options)

    cli.import_custom(cfg)
    from slnp_mm.datasets.wrappers import places
    from slnp_mm.errors import check_device
    from slnp_mm.evaluation import SLNPFID, folder, report
    from slnp_mm.evaluation.metrics.feature_metric import FeatureMetric

    check_device(args.device)
    metrics = folder.build_metrics(cfg)
    for metric in metrics:
        if args.scorer_checkpoint and hasattr(metric, 'scorer_cfg'):
            metric.scorer_cfg['checkpoint'] = args.scorer_checkpoint
    if args.inception:
        metrics.append(SLNPFID(weights=args.inception))
    dataset = folder.build_dataset(cfg, args.labels, args.real)
    if args.out:
        images = [args.images] * bool(args.images)
        cli.keep_inputs(args.out, [*images, args.config, *places(dataset)])
    run = dict(config=os.path.basename(args.config), name=args.name)
    if args.training:
        run['images'] = 'real training images'
        metrics = [metric for metric in metrics if isinstance(metric, FeatureMetric)]
        folder.score_training(cfg, dataset, metrics, args.batch_size, args.device)
    else:
        run['images'] = os.path.basename(os.path.normpath(args.images))
        folder.score_folder(dataset, metrics, args.images, args.batch_size, args.device)
    result = report.build_report(metrics, run, *folder.names_of(dataset))
    print(report.markdown(result))
    if args.out:
        print('written: ' + ', '.join(report.save_report(result, args.out)))


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
