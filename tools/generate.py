"""Generate pictures for label maps with a trained checkpoint."""

import argparse
import os
import sys
import time

import _cli as cli


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('config', type=cli.path, help='the config it was trained with')
    parser.add_argument(
        'checkpoint', type=cli.path, help='checkpoint file, or a work dir: its last one'
    )
    parser.add_argument(
        '--labels', type=cli.path, required=True, help='a label map, or a folder of them'
    )
    parser.add_argument('--out', type=cli.path, required=True, help='folder for pictures')
    parser.add_argument(
        '--instances',
        type=cli.path,
        help='folder of instance maps with the same names '
        '(else each connected region of a class is one instance)',
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--num-noises', type=cli.number, default=1, help='pictures a label map')
    parser.add_argument('--batch-size', type=cli.number, default=8)
    parser.add_argument('--device', type=cli.device, help='cpu, cuda or cuda:N', default='auto')
    cli.add_config_options(parser)
    return parser.parse_args()


def main() -> None:
    """Generate, with progress, and say where the pictures are."""
    args = parse_args()
    checkpoint = cli.find_checkpoint(args.checkpoint)
    cli.need(args.labels, 'label map', 'give a file, or a folder of them', os.path.exists)
    cli.need_folder(args.out)
    if args.instances:
        cli.need(args.instances, 'folder of instance maps', 'check --instances', os.path.isdir)
    cli.keep_inputs(args.out, [args.labels, *filter(None, [args.instances])])
    cfg = cli.read_config(args.config, args.cfg_options)

    cli.import_custom(cfg)
    from slnp_mm.generation import Generation, find_labels

    generation = Generation(cfg, checkpoint, args.device)
    cli.keep_inputs(args.out, generation.places)
    files = find_labels(args.labels, generation.dataset.suffixes['label'])
    for path, name in files:
        cli.keep_inputs(os.path.join(args.out, f'{name}.png'), [path])

    start, done, total = time.time(), 0, len(files) * args.num_noises
    pictures = generation.run(files, args.instances, args.seed, args.num_noises, args.batch_size)
    for name, save in pictures:
        save(os.path.join(args.out, name))
        done += 1
        left = (time.time() - start) / done * (total - done)
        print(f'\r{done}/{total} pictures, {left:.0f} s left  ', end='', flush=True)
    print(f'\nwritten to {args.out}')


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
