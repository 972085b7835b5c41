"""Train a scorer (mmseg's runner) on the real images of a data set."""

import argparse
import os
import sys

import _cli as cli


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=cli.path, help='a config of configs/scorers')
    parser.add_argument('--work-dir', type=cli.path, help='where scorer.pth is written')
    parser.add_argument('--data-root', type=cli.path, help='place of the data set')
    parser.add_argument('--max-iters', type=cli.number, help='training length')
    cli.add_config_options(parser)
    return parser.parse_args()


def main() -> None:
    """Train and print the ceiling."""
    args = parse_args()
    cfg = cli.read_config(args.config, args.cfg_options)
    cfg = cli.set_work_dir(cfg, args.work_dir)
    weights = os.path.join(cfg.work_dir, 'scorer.pth')
    if cfg.get('load_from'):
        cli.keep_inputs(weights, [cfg.load_from], '--work-dir')

    cli.import_custom(cfg)
    from slnp_mm.evaluation.scorers.training import set_data_root, set_length, train_scorer

    if args.data_root:
        set_data_root(cfg, args.data_root)
    if args.max_iters:
        set_length(cfg, args.max_iters)
    record = train_scorer(cfg)
    ceiling = record['ceiling']
    print(
        f'scorer {weights}: PA {ceiling["PA"]}, mIoU {ceiling["mIoU"]} on '
        f'{record["data"]["val_images"]} real images, {record["seconds"]:.0f} s'
    )


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
