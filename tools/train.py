"""Train a model, or its noise prior, from a config."""

import argparse
import os
import sys

# Waiting threads must not spin: with several processes on few cores that
# slows training down. It has to be set before torch is loaded.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

import _cli as cli  # noqa: E402
from mmengine.logging import print_log  # noqa: E402


def parse_args() -> argparse.Namespace:
    """Read the command line: the options of mmagic's train tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, for example configs/slnp_coco.py')
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on from the last checkpoint of the work dir (from another '
        'one: also --cfg-options load_from=FILE)',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision, on CUDA')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale learning rates with the total batch size',
    )
    cli.add_runner_args(parser)
    return parser.parse_args()


def main() -> None:
    """Train, and say where the results are."""
    args = parse_args()
    cfg = cli.load_config(args)
    if args.amp:
        cli.enable_amp(cfg)
    if args.auto_scale_lr:
        cli.enable_auto_scale_lr(cfg)
    if args.resume:
        cfg.resume = True
    runner = cli.build_runner(cfg)
    print_log(f'Working directory: {cfg.work_dir}', 'current')
    runner.train()
    print_log(f'Log: {runner._log_dir}', 'current')
    print_log(f'Checkpoints: {cfg.work_dir}', 'current')


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
