"""Score a checkpoint on the test split of its config."""

import argparse
import os
import sys

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')  # see tools/train.py

import _cli as cli  # noqa: E402
import mmengine  # noqa: E402
from mmengine.hooks import Hook  # noqa: E402
from mmengine.logging import print_log  # noqa: E402


class SaveMetricsHook(Hook):
    """Write the scores to a file when the test is over.

    Args:
        path (str): .json, .yaml or .pkl file.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def after_test_epoch(self, runner, metrics=None) -> None:
        """Write under another name, then move into place."""
        stem, suffix = os.path.splitext(self.path)
        draft = f'{stem}.part{suffix}'
        os.makedirs(os.path.dirname(self.path) or '.', exist_ok=True)
        mmengine.dump(metrics or {}, draft)
        os.replace(draft, self.path)


def parse_args() -> argparse.Namespace:
    """Read the command line: the options of mmagic's test tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file, or a work dir: its last one')
    parser.add_argument('--out', help='.json or .yaml file for the scores')
    parser.add_argument(
        '--num-pictures',
        type=int,
        default=0,
        help='write a picture grid of so many images below the work dir',
    )
    cli.add_runner_args(parser)
    return parser.parse_args()


def main() -> None:
    """Test, and say where the results are."""
    args = parse_args()
    cfg = cli.load_config(args)
    if args.out and os.path.splitext(args.out)[1][1:] not in (
        'json',
        'yaml',
        'yml',
        'pkl',
    ):
        raise cli.SLNPError(f'--out must end in .json, .yaml or .pkl, but got {args.out}')
    if args.num_pictures:
        hooks = [
            hook
            for hook in cfg.get('custom_hooks') or []
            if hook['type'] != 'SLNPVisualizationHook'
        ]
        grid = dict(type='SLNPVisualizationHook', num_images=args.num_pictures)
        cfg.custom_hooks = [*hooks, grid]
    cfg.load_from, cfg.resume = cli.find_checkpoint(args.checkpoint), False
    runner = cli.build_runner(cfg, whole=True)
    if args.out:
        runner.register_hook(SaveMetricsHook(args.out), 'LOWEST')
    print_log(f'Working directory: {cfg.work_dir}', 'current')
    runner.test()


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
