"""Draw the synthetic ToyScenes dataset, unless it already exists."""

import argparse
import sys

import _cli as cli


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--out', type=cli.path, default='data/toyscenes', help='output folder')
    parser.add_argument('--num-train', type=cli.number, default=800, help='training images')
    parser.add_argument('--num-val', type=cli.number, default=100, help='validation images')
    parser.add_argument('--size', type=int, default=128, help='image size in pixels')
    parser.add_argument('--seed', type=cli.seed, default=0, help='random seed')
    return parser.parse_args()


def main() -> None:
    """Write the dataset."""
    args = parse_args()
    cli.need_folder(args.out)
    from slnp_mm.datasets.toyscenes import write_toyscenes

    new = write_toyscenes(
        args.out, args.num_train, args.num_val, args.size, args.seed, progress=True
    )
    words = 'written' if new else 'already exists, kept'
    print(
        f'ToyScenes in {args.out}: {args.num_train} train, {args.num_val} '
        f'val, {args.size} px, seed {args.seed}: {words}'
    )


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
