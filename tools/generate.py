"""Generate pictures for label maps with a trained checkpoint."""

import argparse
import os
import sys
import time

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')  # see tools/train.py

import _cli as cli  # noqa: E402

from slnp_mm.generation import Generation, find_labels  # noqa: E402


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('config', help='the config it was trained with')
    parser.add_argument('checkpoint', help='checkpoint file, or a work dir: its last one')
    parser.add_argument('--labels', required=True, help='a label map, or a folder of them')
    parser.add_argument('--out', required=True, help='folder for pictures')
    parser.add_argument(
        '--instances',
        help='folder of instance maps with the same names '
        '(else each connected region of a class is one instance)',
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--num-noises', type=int, default=1, help='pictures a label map')
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--device', help='cpu, cuda or cuda:N', default='auto')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=cli.DictAction,
        help='override config entries, key=value',
    )
    return parser.parse_args()


def main() -> None:
    """Generate, with progress, and say where the pictures are."""
    args = parse_args()
    files = find_labels(args.labels)
    generation = Generation(
        cli.read_config(args.config, args.cfg_options),
        cli.find_checkpoint(args.checkpoint),
        args.device,
    )
    start, done, total = time.time(), 0, len(files) * args.num_noises
    pictures = generation.run(files, args.instances, args.seed, args.num_noises, args.batch_size)
    for name, save in pictures:
        save(os.path.join(args.out, name))
        done += 1
        left = (time.time() - start) / done * (total - done)
        print(
            f'\r{done}/{total} pictures, {left:.0f} s left  ',
            end='',
            flush=True,
        )
    print(f'\nwritten to {args.out}')


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
