"""Check the datasets of a config; the exit code is 1 if there are problems."""

import argparse
import json
import sys

import _cli as cli

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


def no_batch(loader: dict, size: int) -> str:
    """Say that a loader over ``size`` samples yields no batch; empty if it does."""
    batch, drop = loader.get('batch_size', 1), bool(loader.get('drop_last'))
    endless = 'InfiniteSampler' in str((loader.get('sampler') or {}).get('type'))
    if size and (size >= batch or not drop or endless):
        return ''
    return f'gives no batch: {size} samples, batch_size={batch}, drop_last={drop}'


def main() -> int:
    """Check every split."""
    args = parse_args()
    config = cli.read_config(args.config, args.cfg_options)

    cli.import_custom(config)
    from _sheet import write_sheet
    from mmagic.registry import DATASETS
    from mmengine.registry import init_default_scope

    from slnp_mm.datasets import SLNPDataset, check_dataset
    from slnp_mm.datasets.wrappers import parts, places
    from slnp_mm.files import replace_file

    init_default_scope('mmagic')
    reports: dict = {}
    seen: list = []  # config and report of each set, to check equal ones once
    sheet = False
    for split in args.split or SPLITS:
        loader = config.get(f'{split}_dataloader')
        if not loader or not loader.get('dataset'):
            if args.split:
                raise cli.SLNPError(f'{args.config} has no dataset for {split}')
            continue
        cfgs, own = list(parts(loader['dataset'])), []
        for number, cfg in enumerate(cfgs, 1):
            name = f'{split}{number}' if len(cfgs) > 1 else split
            report = next((known for other, known in seen if other == cfg), None)
            if report is None:
                dataset = DATASETS.build({**cfg, 'lazy_init': True})
                if not isinstance(dataset, SLNPDataset):
                    raise cli.SLNPError(
                        'the check expects SLNPDataset, subclasses or wrappers of them, but '
                        f'{split}_dataloader has {cfg["type"]}'
                    )
                for option, file in (('--json', args.json), ('--sheet', args.sheet)):
                    if file:
                        cli.keep_inputs(file, [args.config, *places(dataset)], option)
                report = check_dataset(dataset, args.workers, args.limit, progress=True)
                reports[name] = report
                seen.append((cfg, report))
                sheet = sheet or (args.sheet and write_sheet(dataset, args.sheet))
            own.append(report)
        if all(report.ok for report in own):
            if problem := no_batch(loader, len(DATASETS.build(loader['dataset']))):
                own[-1].add_problem('none', f'{split}_dataloader {problem}')
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
