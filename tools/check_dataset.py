"""Check the data of a config before training: exit code 0 or 1."""

import argparse
import json
import os
import sys
import time

import _cli as cli
from mmagic.registry import DATASETS
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

from slnp_mm.datasets.contact_sheet import make_sheet, save_sheet
from slnp_mm.datasets.errors import DataError
from slnp_mm.datasets.preflight import check_dataset
from slnp_mm.datasets.slnp_dataset import SLNPDataset
from slnp_mm.errors import SLNPError

SPLITS = ('train', 'val', 'test')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file with *_dataloader')
    parser.add_argument('--split', nargs='+', choices=SPLITS, default=SPLITS)
    parser.add_argument('--json', metavar='FILE', help='write the report')
    parser.add_argument(
        '--sheet',
        metavar='FILE',
        help='write a picture of samples with their labels',
    )
    parser.add_argument('--workers', type=int, help='processes (all cores)')
    parser.add_argument(
        '--limit',
        type=int,
        help='check only this many samples of each split, evenly spread',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings to override, key=value',
    )
    return parser.parse_args()


def dataset_configs(config: Config, splits: list) -> dict:
    """Data set settings by split; equal ones only once."""
    found: dict = {}
    for split in splits:
        loader = config.get(f'{split}_dataloader') or dict(dataset=dict())
        inner = unwrap(loader['dataset'])
        for number, cfg in enumerate(inner, 1):
            if cfg and cfg not in found.values():
                found[f'{split}{number}' if len(inner) > 1 else split] = cfg
    return found


def unwrap(cfg: dict) -> list[dict]:
    """Settings of the sets inside mmengine's wrappers (repeat, concat)."""
    inner = cfg.get('datasets') or [cfg.get('dataset')]
    return [cfg] if inner == [None] else sum(map(unwrap, inner), [])


def build(cfg: dict, split: str) -> SLNPDataset:
    """Build a set without listing its files, which the check does.

    Raises:
        SLNPError: If it is not one of this package.
    """
    dataset = DATASETS.build({**cfg, 'lazy_init': True})
    if not isinstance(dataset, SLNPDataset):
        raise SLNPError(
            f'the check knows SLNPDataset and the sets made of it, but '
            f'{split}_dataloader has {cfg["type"]}'
        )
    return dataset


def show_progress(split: str):
    """Return a function that prints a progress line with the time left."""
    start = time.time()
    last = [0.0]

    def progress(done: int, total: int) -> None:
        if done < total and time.time() - last[0] < 0.2:
            return
        last[0] = time.time()
        left = (last[0] - start) / done * (total - done)
        bar = '#' * (24 * done // total)
        print(
            f'\r{split:5s} [{bar:<24s}] {done}/{total}, {left:.0f} s left ',
            end='\n' if done == total else '',
            file=sys.stderr,
            flush=True,
        )

    return progress


def write_json(path: str, reports: dict) -> None:
    """Write the reports under the final name in one step."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    temp = f'{path}.{os.getpid()}.tmp'
    with open(temp, 'w') as file:
        json.dump({k: r.to_dict() for k, r in reports.items()}, file, indent=1)
    os.replace(temp, path)


def draw_sheet(dataset, path: str) -> bool:
    """Draw the samples that can be drawn; False if there are none."""
    try:
        save_sheet(make_sheet(dataset), path)
    except DataError as error:
        print(f'no sheet: {error}', file=sys.stderr)
        return False
    print(f'sheet of samples: {path}')
    return True


def run(args: argparse.Namespace) -> int:
    """Check every split.

    Returns:
        int: 0 if no problem was found, 1 otherwise.
    """
    config = cli.read_config(args.config, args.cfg_options)
    reports: dict = {}
    sheet = None
    for split, cfg in dataset_configs(config, args.split).items():
        dataset = build(cfg, split)
        reports[split] = check_dataset(dataset, args.workers, args.limit, show_progress(split))
        print(f'{split}: {reports[split].to_text()}')
        sheet = sheet or (args.sheet and draw_sheet(dataset, args.sheet))
    if not reports:
        raise SLNPError(f'{args.config} has no data set for {", ".join(args.split)}')
    if args.json:
        write_json(args.json, reports)
    return 0 if all(report.ok for report in reports.values()) else 1


def main() -> int:
    """Check, with mmagic's registry."""
    args = parse_args()
    init_default_scope('mmagic')
    try:
        return run(args)
    except OSError as error:  # --sheet or --json
        if error.filename is None:
            raise
        raise SLNPError(
            f'cannot write {error.filename}: {error.strerror}; choose another place'
        ) from error


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
