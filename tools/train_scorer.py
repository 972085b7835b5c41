"""Train a scorer, a segmentor of mmseg, on the real images of a dataset."""

import argparse
import os
import sys

import _cli as cli


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=cli.path, help='config file in configs/scorers')
    work_dir = 'directory for scorer.pth and logs'
    parser.add_argument('--work-dir', type=cli.path, help=work_dir)
    parser.add_argument('--data-root', type=cli.path, help='folder of the dataset')
    parser.add_argument('--max-iters', type=cli.number, help='number of iterations')
    cli.add_config_options(parser)
    return parser.parse_args()


def main() -> None:
    """Train, and print the scores on real images."""
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
