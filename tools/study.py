"""Run a study: several variants of a training over several seeds.

Finished runs are not run again and interrupted ones go on from their last
checkpoint, so the same command can be given until all is done.
"""

import argparse
import signal
import sys
from pathlib import Path

import _cli as cli
import _study as study
import _study_report as study_report

from slnp_mm.errors import SLNPError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('study', help='study file, in configs/studies')
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='RUN',
        help='only these variants or runs (VARIANT or VARIANT/seedN)',
    )
    parser.add_argument(
        '--max-minutes',
        type=float,
        help='stop after so long; give the command again to go on',
    )
    parser.add_argument('--list', action='store_true', help='print the state of each run')
    parser.add_argument('--table', action='store_true', help='print scores and plateaus')
    parser.add_argument('--plot', type=Path, metavar='FILE', help='plot the curves to FILE')
    return parser.parse_args()


def choose(found: study.Study, only: list[str] | None) -> list[study.Run]:
    """Pick the runs that were asked for.

    Raises:
        SLNPError: If a name fits no run.
    """
    if only is None:
        return list(found.runs)
    known = {name for run in found.runs for name in (run.variant, run.name)}
    unknown = sorted(set(only) - known)
    if unknown:
        raise SLNPError(
            f'--only must name variants or runs of {found.name}, but got '
            f'{unknown}: they are {sorted(known)}'
        )
    return [r for r in found.runs if r.variant in only or r.name in only]


def main() -> int:
    """Run, or report on, a study."""
    args = parse_args()
    found = study.load_study(args.study)
    if args.max_minutes is not None and not args.max_minutes > 0:
        raise SLNPError(f'--max-minutes must be above 0, but got {args.max_minutes}')
    runs = choose(found, args.only)
    if args.list:
        for run in runs:
            print(f'{run.state:8} {run.name}  {run.work_dir}')
    if args.table:
        print(study_report.metric_table(found))
        if found.curves:
            print('\n' + study_report.plateau_table(found))
    if args.plot:
        study_report.plot(found, args.plot)
        print(f'Plot: {args.plot}')
    if args.list or args.table or args.plot:
        return 0
    # so that a stop also stops the training under way
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with study.one_at_a_time(study.ROOT):
        study.prepare(found)
        failed = study.run_queue(found, runs, args.max_minutes)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
