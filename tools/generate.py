"""Generate pictures for label maps: with the zoo's model, or a config and its checkpoint."""

import argparse
import glob
import json
import os
import sys
import time
from pathlib import Path

import _cli as cli

SHEET_ROWS = 16


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        'config', type=cli.path, nargs='?', help='the config the checkpoint was trained with'
    )
    parser.add_argument(
        'checkpoint', type=cli.path, nargs='?', help='checkpoint file, or a work dir: its last one'
    )
    parser.add_argument(
        '--labels', type=cli.path, required=True, help='a label map, a folder of them, or a glob'
    )
    parser.add_argument(
        '--out',
        type=cli.path,
        required=True,
        help='folder for pictures; those of the same settings that are there are kept',
    )
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
    parser.add_argument(
        '--attention', type=cli.path, help='folder for label, stages and attention map (fig. 12)'
    )
    parser.add_argument(
        '--sheet', type=cli.path, help=f'PNG of up to {SHEET_ROWS} labels with their pictures'
    )
    parser.add_argument(
        '--compare', type=cli.path, help='checkpoint, or a work dir, shown beside it on the sheet'
    )
    cli.add_config_options(parser)
    return parser.parse_args()


def check_args(args: argparse.Namespace) -> None:
    """End the tool with a sentence if arguments or files do not fit together."""
    if bool(args.config) != bool(args.checkpoint):
        cli.stop("give a config and its checkpoint, or neither to take the zoo's model")
    if args.cfg_options and not args.config:
        cli.stop("--cfg-options is for a config, but the zoo's model has its own")
    if args.compare and not args.sheet:
        cli.stop('--compare shows its pictures on the sheet: add --sheet FILE.png')
    if args.sheet and not args.sheet.lower().endswith('.png'):
        cli.stop(f'--sheet is a PNG file, but got {args.sheet}')
    for name in ('checkpoint', 'compare'):
        if getattr(args, name):
            setattr(args, name, cli.find_checkpoint(getattr(args, name)))

    def there(place: str) -> bool:
        return os.path.exists(place) or bool(glob.glob(place, recursive=True))

    cli.need(args.labels, 'label map', 'give a file, or a folder of them', there)
    if args.instances:
        cli.need(args.instances, 'folder of instance maps', 'check --instances', os.path.isdir)
    inputs = [args.labels, *filter(None, [args.instances])]
    for option in ('out', 'attention', 'sheet'):
        if place := getattr(args, option):
            if option != 'sheet':
                cli.need_folder(place)
            cli.keep_inputs(place, inputs, f'--{option}')


def start_time(out: str, settings: dict) -> int:
    """Since when ``out`` gets pictures of these settings, in ns; a note there keeps them."""
    from slnp_mm.files import replace_file

    note = Path(out, 'generate.json')
    if not note.is_file() or note.read_text('utf-8') != json.dumps(settings):
        with replace_file(note) as draft, open(draft, 'w', encoding='utf-8') as file:
            json.dump(settings, file)
    return note.stat().st_mtime_ns


def draw_sheet(inferencers: dict, labels: list, options: dict):
    """Labels with their pictures, (H, W, 3), RGB; of two checkpoints, seed by seed."""
    from slnp_mm.evaluation.functional import colour_label, make_grid

    seeds = range(options['seed'], options['seed'] + options['num_samples'])
    rows = []
    for path, maps in labels:
        results = [one(path, instances=maps, **options) for one in inferencers.values()]
        first = results[0]['predictions'][0]
        palette = next(iter(inferencers.values())).palette
        pictures = zip(*(result['visualization'] for result in results))
        rows.append(
            [colour_label(first['label'], palette), *(x for pair in pictures for x in pair)]
        )
    names = [f'{name}{seed}' for seed in seeds for name in inferencers]
    return make_grid(rows, ('label', *names))


def main() -> None:
    """Generate, with progress, and say where the pictures are."""
    args = parse_args()
    check_args(args)
    cfg = args.config and cli.read_config(args.config, args.cfg_options)

    if cfg:
        cli.import_custom(cfg)
    from slnp_mm.datasets.check import spread
    from slnp_mm.datasets.instance_cache import file_stamp
    from slnp_mm.engine.hooks.slnp_visualization_hook import sample_row
    from slnp_mm.errors import SLNPError, check_file
    from slnp_mm.evaluation.functional import make_grid
    from slnp_mm.files import write_picture
    from slnp_mm.inferencer import SLNPInferencer, find_labels, picture_name

    inferencer = SLNPInferencer(cfg, args.checkpoint, args.device, show_progress=False)
    for option in ('out', 'attention', 'sheet'):
        if place := getattr(args, option):
            cli.keep_inputs(place, inferencer.places, f'--{option}')
    files = find_labels(args.labels, inferencer.dataset.suffixes['label'])
    for path, name in files:
        cli.keep_inputs(os.path.join(args.out, f'{name}.png'), [path])
    maps = (
        {path: os.path.join(args.instances, f'{name}.png') for path, name in files}
        if args.instances
        else {}
    )
    for place in maps.values():
        check_file(place, 'instance map', 'add it')

    # what is there, newer than its sources and of the same settings, is finished
    settings = dict(
        model=[file_stamp(place or '') for place in (args.config, inferencer.checkpoint)],
        cfg_options=str(args.cfg_options),
        seed=args.seed,
        instances=args.instances,
    )
    since = start_time(args.out, settings)
    targets = {}
    for path, name in files:
        names = [
            picture_name(name, k if args.num_noises > 1 else None) for k in range(args.num_noises)
        ]
        targets[path] = [
            Path(folder, name) for name in names for folder in (args.out, args.attention) if folder
        ]

    def is_finished(path: str) -> bool:
        newest = max([since, *(os.stat(x).st_mtime_ns for x in (path, maps.get(path)) if x)])
        return all(x.is_file() and x.stat().st_mtime_ns >= newest for x in targets[path])

    todo = [path for path in targets if not is_finished(path)]
    kept = len(files) - len(todo)
    if kept:
        print(f'{kept * args.num_noises} pictures are there already')

    options = dict(
        batch_size=args.batch_size, num_samples=args.num_noises, seed=args.seed, size='config'
    )
    start, done, total = time.time(), 0, len(todo) * args.num_noises
    step = max(1, args.batch_size // args.num_noises)
    for i in range(0, len(todo), step):
        part = todo[i : i + step]
        found = inferencer(
            part,
            return_datasamples=True,
            instances=[maps[path] for path in part] if maps else None,
            return_attention=bool(args.attention),
            **options,
        )
        places = iter([place for path in part for place in targets[path]])
        for picture, sample in zip(found['visualization'], found['predictions']):
            write_picture(next(places), picture)
            if args.attention:
                row, titles = sample_row(sample, inferencer.palette, sample.instance_labels.numpy())
                write_picture(next(places), make_grid([row], titles))
            done += 1
        left = (time.time() - start) / done * (total - done)
        print(f'\r{done}/{total} pictures, {left:.0f} s left  ', end='', flush=True)
    print(f'\nwritten to {args.out}')

    if args.sheet:
        models = {'seed ': inferencer}
        if args.compare:
            from slnp_mm.checkpoint import read_config

            try:
                other = read_config(args.compare)
            except SLNPError:
                other = cfg
            second = SLNPInferencer(other, args.compare, args.device, show_progress=False)
            models = {'first, seed ': inferencer, 'second, seed ': second}
        chosen = [(path, maps.get(path)) for path, _ in spread(files, SHEET_ROWS)]
        write_picture(args.sheet, draw_sheet(models, chosen, options))
        print(f'sheet: {args.sheet}')


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
