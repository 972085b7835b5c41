"""Train a model, or its noise prior, from a config."""

import argparse
import sys

import _cli as cli


def parse_args() -> argparse.Namespace:
    """Read the command line: the options of mmagic's train tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=cli.path, help='for example configs/slnp_coco.py')
    parser.add_argument(
        '--resume',
        nargs='?',
        const=True,
        default=False,
        type=cli.path,
        metavar='CHECKPOINT',
        help='go on from the last checkpoint of the work dir, or from this one',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: bfloat16, or float16 on a GPU that lacks it',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale learning rates with the total batch size',
    )
    parser.add_argument('--tensorboard', action='store_true', help='log to TensorBoard too')
    parser.add_argument('--wandb', action='store_true', help='log to Weights & Biases too')
    cli.add_runner_args(parser)
    return parser.parse_args()


def main() -> None:
    """Train, and say where the results are."""
    args = parse_args()
    checkpoint = cli.find_checkpoint(args.resume) if isinstance(args.resume, str) else None
    cfg = cli.load_config(args)
    if args.auto_scale_lr:
        cli.enable_auto_scale_lr(cfg)
    if args.amp:
        cli.enable_amp(cfg)
    if args.tensorboard:
        cli.log_to(cfg, 'tensorboard', 'TensorboardVisBackend')
    if args.wandb:
        cli.log_to(cfg, 'wandb', 'WandbVisBackend')
    if args.resume:
        cfg.resume = True
        cfg.load_from = checkpoint or cfg.get('load_from')

    runner = cli.build_runner(cfg)
    runner.logger.info(f'Working directory: {cfg.work_dir}')
    runner.logger.info(f'Made by {cli.made_by()}, seed {runner.seed}')
    runner.train()
    runner.logger.info(f'Log: {runner._log_dir}')
    runner.logger.info(f'Checkpoints: {cfg.work_dir}')


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
