"""Train a scorer (mmseg's runner) on the real images of a data set."""

import argparse
import os
import sys

# Spinning threads of several processes on few cores slow training down by a
# factor of six (measured on two cores); must be set before torch is loaded.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

import _cli as cli  # noqa: E402

from slnp_mm.evaluation.scorers.training import (  # noqa: E402
    set_data_root,
    set_length,
    train_scorer,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a config of configs/scorers')
    parser.add_argument('--work-dir', help='where scorer.pth is written')
    parser.add_argument('--data-root', help='place of the data set')
    parser.add_argument('--max-iters', type=int, help='training length')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=cli.DictAction,
        help='override config entries, key=value',
    )
    return parser.parse_args()


def main() -> int:
    """Train and print the ceiling."""
    args = parse_args()
    cfg = cli.read_config(args.config, args.cfg_options)
    if args.data_root:
        set_data_root(cfg, args.data_root)
    if args.max_iters:
        set_length(cfg, args.max_iters)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    record = train_scorer(cfg)
    ceiling = record['ceiling']
    print(
        f'scorer {os.path.join(cfg.work_dir, "scorer.pth")}: '
        f'PA {ceiling["PA"]}, mIoU {ceiling["mIoU"]} on '
        f'{record["data"]["val_images"]} real images, '
        f'{record["seconds"]:.0f} s'
    )
    return 0


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
