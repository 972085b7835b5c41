"""Check the datasets of a config; the exit code is 1 if there are problems."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

import _cli as cli

if TYPE_CHECKING:
    from slnp_mm.datasets import SLNPDataset

SPLITS = ('train', 'val', 'test')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=cli.path, help='config file')
    parser.add_argument('--split', nargs='+', choices=SPLITS, help='splits to check (default: all)')
    parser.add_argument('--json', type=cli.path, metavar='FILE', help='write the report as JSON')
    sheet = 'write a PNG of samples with their labels'
    parser.add_argument('--sheet', type=cli.path, metavar='FILE', help=sheet)
    parser.add_argument('--workers', type=int, help='number of processes (default: all cores)')
    limit = 'check at most N evenly spaced samples per split'
    parser.add_argument('--limit', type=int, metavar='N', help=limit)
    cli.add_config_options(parser)
    return parser.parse_args()


def check_batches(name: str, loader: dict, reports: list) -> None:
    """Report a loader that yields no batch."""
    from mmagic.registry import DATASETS

    if not all(report.ok for report in reports):
        return
    size, batch = len(DATASETS.build(loader['dataset'])), loader.get('batch_size', 1)
    endless = 'InfiniteSampler' in str((loader.get('sampler') or {}).get('type'))
    if not size or (size < batch and loader.get('drop_last') and not endless):
        reports[-1].add_problem(
            'none',
            f'{name} gives no batch: {size} samples, batch_size={batch}, '
            f'drop_last={bool(loader.get("drop_last"))}',
        )


def build(cfg: dict, split: str) -> SLNPDataset:
    """Build a dataset without scanning its files."""
    from mmagic.registry import DATASETS

    from slnp_mm.datasets import SLNPDataset

    dataset = DATASETS.build({**cfg, 'lazy_init': True})
    if not isinstance(dataset, SLNPDataset):
        raise cli.SLNPError(
            f'the check expects SLNPDataset, subclasses or wrappers of them, but '
            f'{split}_dataloader has {cfg["type"]}'
        )
    return dataset


def draw_sheet(dataset: SLNPDataset, path: str) -> bool:
    """Write a sheet of samples; False if none can be drawn."""
    from _sheet import make_sheet

    from slnp_mm.datasets.wrappers import places
    from slnp_mm.files import write_picture

    cli.keep_inputs(path, places(dataset), '--sheet')
    try:
        sheet = make_sheet(dataset)
    except cli.errors.DataError as error:
        print(f'no sheet: {error}', file=sys.stderr)
        return False
    write_picture(path, sheet)
    print(f'sheet of samples: {path}')
    return True


def main() -> int:
    """Check every split."""
    args = parse_args()
    config = cli.read_config(args.config, args.cfg_options)

    cli.import_custom(config)
    from mmengine.registry import init_default_scope

    from slnp_mm.datasets import check_dataset
    from slnp_mm.datasets.wrappers import part_configs, places
    from slnp_mm.files import replace_file

    init_default_scope('mmagic')
    reports: dict = {}
    seen: list = []  # config and report of each set, to check equal ones once
    sheet = None
    for split in args.split or SPLITS:
        loader = config.get(f'{split}_dataloader')
        if not loader or not loader.get('dataset'):
            if args.split:
                raise cli.SLNPError(f'{args.config} has no dataset for {split}')
            continue
        parts, own = list(part_configs(loader['dataset'])), []
        for number, cfg in enumerate(parts, 1):
            name = f'{split}{number}' if len(parts) > 1 else split
            report = next((known for other, known in seen if other == cfg), None)
            if report is None:
                dataset = build(cfg, split)
                if args.json:
                    cli.keep_inputs(args.json, [args.config, *places(dataset)], '--json')
                report = check_dataset(dataset, args.workers, args.limit, progress=True)
                reports[name] = report
                seen.append((cfg, report))
                sheet = sheet or (args.sheet and draw_sheet(dataset, args.sheet))
            own.append(report)
        check_batches(f'{split}_dataloader', loader, own)
    if not reports:
        raise cli.SLNPError(f'{args.config} has no dataset for {", ".join(SPLITS)}')
    for name, report in reports.items():
        print(f'{name}: {report.to_text()}')
    if args.json:
        with replace_file(args.json) as draft, open(draft, 'w') as file:
            json.dump({name: report.to_dict() for name, report in reports.items()}, file, indent=1)
    return 0 if all(report.ok for report in reports.values()) else 1


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
