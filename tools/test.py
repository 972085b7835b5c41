"""Score a checkpoint on the test split of its config."""

import argparse
import os
import sys

import _cli as cli


def parse_args() -> argparse.Namespace:
    """Read the command line: the options of mmagic's test tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    cli.add_model_args(parser)
    add('--out', type=cli.path, help='.json, .yaml or .pkl file to save the scores to')
    grid = 'save a grid of N generated images in the work dir'
    add('--num-images', type=cli.number, default=0, metavar='N', help=grid)
    cli.add_runner_args(parser)
    args = parser.parse_args()
    if args.out and os.path.splitext(args.out)[1] not in ('.json', '.yaml', '.yml', '.pkl'):
        parser.error(f'--out must end in .json, .yaml or .pkl, but got {args.out}')
    return args


def main() -> None:
    """Test, and log where the results are."""
    args = parse_args()
    cfg = cli.load_config(args)
    cfg.load_from, cfg.resume = cli.find_checkpoint(args.checkpoint), False
    if args.out:
        cli.keep_inputs(args.out, [args.config, cfg.load_from])
    if args.num_images:
        kind = 'SLNPVisualizationHook'
        hooks = [hook for hook in cfg.get('custom_hooks') or [] if hook['type'] != kind]
        cfg.custom_hooks = [*hooks, dict(type=kind, num_images=args.num_images)]

    runner = cli.build_runner(cfg, whole=True)
    if args.out:
        runner.register_hook(cli.SaveScoresHook(args.out), 'LOWEST')
    runner.logger.info(f'Working directory: {cfg.work_dir}')
    runner.test()


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
