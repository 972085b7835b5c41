"""Train a GAN or a noise prior."""

import argparse
import sys

import _cli as cli


def parse_args() -> argparse.Namespace:
    """Read the command line: the options of mmagic's train tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', type=cli.path, help='config file, such as configs/slnp_coco.py')
    resume = 'resume from CHECKPOINT, by default the last one in the work dir'
    file = dict(type=cli.path, metavar='CHECKPOINT')
    add('--resume', nargs='?', const=True, default=False, help=resume, **file)
    amp = 'train in mixed precision: bfloat16, or float16 on GPUs without it'
    add('--amp', action='store_true', help=amp)
    graph = 'replay each step of a GAN as a CUDA graph, on one GPU'
    add('--cuda-graph', action='store_true', help=graph)
    scale = 'scale the learning rates with the total batch size'
    add('--auto-scale-lr', action='store_true', help=scale)
    add('--tensorboard', action='store_true', help='also log to TensorBoard')
    add('--wandb', action='store_true', help='also log to Weights & Biases')
    cli.add_runner_args(parser)
    return parser.parse_args()


def main() -> None:
    """Train, and log where the results are."""
    args = parse_args()
    cfg = cli.load_config(args)
    if args.auto_scale_lr:
        cli.enable_auto_scale_lr(cfg)
    if args.tensorboard:
        cli.log_to(cfg, 'tensorboard', 'TensorboardVisBackend')
    if args.wandb:
        cli.log_to(cfg, 'wandb', 'WandbVisBackend')
    if args.resume:
        cfg.resume = True
        if args.resume is not True:
            cfg.load_from = cli.find_checkpoint(args.resume)
    if args.amp:
        cli.enable_amp(cfg)
    if args.cuda_graph:
        cli.check_device('cuda')
        hooks = cfg.get('custom_hooks') or []
        cfg.custom_hooks = [*hooks, dict(type='SLNPCUDAGraphHook')]

    runner = cli.build_runner(cfg)
    runner.logger.info(f'Working directory: {cfg.work_dir}')
    runner.logger.info(f'Made by {cli.made_by()}, seed {runner.seed}')
    runner.train()
    runner.logger.info(f'Log: {runner._log_dir}')
    runner.logger.info(f'Checkpoints: {cfg.work_dir}')


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
