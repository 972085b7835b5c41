"""Generate images from label maps, with a model of the zoo or your own."""

import argparse
import glob
import json
import os
import sys
import time
import zlib
from pathlib import Path

import _cli as cli
import numpy as np

SHEET_ROWS = 16


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    cli.add_model_args(parser, nargs='?')
    add('--model', help='model of the zoo (default: the first one)')
    labels = 'label map, folder of label maps, or glob pattern'
    add('--labels', type=cli.path, required=True, help=labels)
    out = 'output folder; existing images of the same settings are kept'
    add('--out', type=cli.path, required=True, help=out)
    instances = 'folder of instance maps with the same names; without it, every connected region '
    add('--instances', type=cli.path, help=f'{instances}of a class is one instance')
    add('--seed', type=cli.seed, default=0, help='random seed of the noise (default: 0)')
    truncation = '0 to 1 (default: 1, off); lower values give less varied, more typical images'
    add('--truncation', type=float, default=1.0, help=truncation)
    add('--num-noises', type=cli.number, default=1, help='images per label map (default: 1)')
    add('--batch-size', type=cli.number, default=8, help='images per batch (default: 8)')
    device = 'auto, cpu, cuda or cuda:N (default: auto)'
    add('--device', type=cli.device, help=device, default='auto')
    training = 'write images to OUT/img_dir, each with noise of its own, and their label maps, of '
    add('--for-training', action='store_true', help=f'{training}the same size, to OUT/ann_dir')
    warp = 'zoom, shift and bend the label map anew for each image; needs --for-training'
    add('--warp', action='store_true', help=warp)
    attention = 'output folder for grids of label, stages and attention map (fig. 12)'
    add('--attention', type=cli.path, help=attention)
    sheet = f'PNG to write with up to {SHEET_ROWS} label maps and their images'
    add('--sheet', type=cli.path, help=sheet)
    compare = 'second checkpoint, or work dir, to compare with on the sheet'
    add('--compare', type=cli.path, help=compare)
    cli.add_config_options(parser)
    return parser.parse_args()


def check_args(args: argparse.Namespace) -> None:
    """Exit with an error message if arguments or files do not fit together."""
    if bool(args.config) != bool(args.checkpoint):
        raise cli.SLNPError('give a config and its checkpoint, or neither for a model of the zoo')
    if args.config and args.model:
        raise cli.SLNPError(
            f'--model {args.model} is a model of the zoo: leave out the config and the checkpoint'
        )
    if args.cfg_options and not args.config:
        raise cli.SLNPError('--cfg-options needs a config and its checkpoint')
    if not 0 <= args.truncation <= 1:
        raise cli.SLNPError(f'--truncation must be from 0 to 1, but got {args.truncation}')
    if args.warp and not args.for_training:
        raise cli.SLNPError('--warp changes the label maps: add --for-training, which writes them')
    if args.for_training and args.attention:
        raise cli.SLNPError('--attention is not drawn with --for-training: ask for one of the two')
    if args.compare and not args.sheet:
        raise cli.SLNPError('--compare needs a sheet to show its images on: add --sheet FILE.png')
    if args.sheet and not args.sheet.lower().endswith('.png'):
        raise cli.SLNPError(f'--sheet must end in .png, but got {args.sheet}')

    def there(place: str) -> bool:
        return os.path.exists(place) or bool(glob.glob(place, recursive=True))

    cli.need(args.labels, 'label map', 'give a file or a folder of files', there)
    if args.instances:
        cli.need(args.instances, 'folder of instance maps', 'check --instances', os.path.isdir)
    inputs = [args.labels, *filter(None, [args.instances])]
    for folder in filter(None, (args.out, args.attention)):
        cli.need_folder(folder)
    keep_inputs(args, inputs)


def keep_inputs(args: argparse.Namespace, inputs: list) -> None:
    """Refuse to write any output into the inputs."""
    for option in ('out', 'attention', 'sheet'):
        if place := getattr(args, option):
            cli.keep_inputs(place, inputs, f'--{option}')


def unfinished(args: argparse.Namespace, sources: dict, settings: dict) -> dict:
    """Files to write, by label map; files newer than their sources and settings are finished."""
    from slnp_mm.files import replace_file
    from slnp_mm.inferencer import image_name

    note = Path(args.out, 'generate.json')
    if not note.is_file() or note.read_text('utf-8') != json.dumps(settings):
        with replace_file(note) as draft, open(draft, 'w', encoding='utf-8') as file:
            json.dump(settings, file)

    folders = [Path(args.out, 'img_dir'), Path(args.out, 'ann_dir')]
    folders = folders if args.for_training else [args.out]
    folders += [args.attention] if args.attention else []
    todo = {}
    for label, (name, *read) in sources.items():
        samples = range(args.num_noises) if args.num_noises > 1 else [None]
        written = [Path(folder, image_name(name, k)) for k in samples for folder in folders]
        since = max(os.stat(file).st_mtime_ns for file in [note, label, *filter(None, read)])
        if not all(x.is_file() and x.stat().st_mtime_ns >= since for x in written):
            todo[label] = written
    return todo


def draw_sheet(models: dict, labels: list, maps: list, options: dict):
    """Grid of label maps and generated images, (H, W, 3), RGB; models alternate for each seed."""
    from slnp_mm.evaluation.functional.grid import color_label, make_grid

    results = [model(labels, instances=maps, **options) for model in models.values()]
    count, palette = options['num_samples'], next(iter(models.values())).palette
    rows = []
    for i in range(0, len(labels) * count, count):
        row = [color_label(results[0]['predictions'][i]['label'], palette)]
        for k in range(count):
            row += [result['visualization'][i + k] for result in results]
        rows.append(row)
    seeds = range(options['seed'], options['seed'] + count)
    return make_grid(rows, ('label', *(f'{name}seed {s}' for s in seeds for name in models)))


def generate_for_training(
    model, label: str, ids: str | None, name: str, warped: bool, options: dict
) -> dict:
    """As a call of the model, with noise, and layouts if ``warped``, of this label map alone."""
    from _warp import warp

    from slnp_mm.datasets.files import decode_ids, read_bytes

    count = options['num_samples']
    seed = (zlib.crc32(name.encode()) + options['seed']) % (2**32 - count)
    options = dict(options, return_datasamples=True)
    if not warped:
        return model([label], instances=[ids], **dict(options, seed=seed))
    pair = model.read_label(label), ids and decode_ids(read_bytes(ids), ids)
    results = []
    for one in range(seed, seed + count):
        layout, instances = warp(np.random.default_rng(one), *pair)
        own = dict(options, seed=one, num_samples=1)
        results.append(model([layout], instances=[instances], **own))
    return {
        key: [one for result in results for one in result[key]]
        for key in ('visualization', 'predictions')
    }


def main() -> None:
    """Generate images and show the progress."""
    args = parse_args()
    check_args(args)
    cfg = args.config and cli.read_config(args.config, args.cfg_options)
    for name in ('checkpoint', 'compare'):
        if getattr(args, name):
            setattr(args, name, cli.find_checkpoint(getattr(args, name)))

    if cfg:
        cli.import_custom(cfg)
    from slnp_mm.datasets.check import spread
    from slnp_mm.engine.hooks.slnp_visualization_hook import sample_row
    from slnp_mm.evaluation.functional.grid import make_grid
    from slnp_mm.files import write_image
    from slnp_mm.inferencer import SLNPInferencer, find_labels

    model = SLNPInferencer(cfg or args.model, args.checkpoint, args.device, show_progress=False)
    models = {'': model}
    if args.compare:
        second = SLNPInferencer(None, args.compare, args.device, show_progress=False)
        models = {'first, ': model, 'second, ': second}
    keep_inputs(args, model.places)

    # name and instance map of each label map
    sources = {}
    for path, name in find_labels(args.labels, model.dataset.suffixes['label']):
        cli.keep_inputs(os.path.join(args.out, f'{name}.png'), [path])
        if not os.path.exists(args.labels):  # a glob would match the outputs next time
            cli.keep_inputs(args.out, [os.path.dirname(path)])
        given = args.instances and os.path.join(args.instances, f'{name}.png')
        if given:
            cli.need(given, 'instance map', 'add it')
        sources[path] = (name, given)
    files = [model.checkpoint, *([cfg.filename] if cfg else [])]
    stats = [(os.path.abspath(file), os.stat(file)) for file in files]
    settings = dict(
        model=[[file, stat.st_size, stat.st_mtime_ns] for file, stat in stats],
        cfg_options=str(args.cfg_options),
        seed=args.seed,
        truncation=args.truncation,
        instances=args.instances,
        warp=args.warp,
    )
    todo = unfinished(args, sources, settings)
    if len(todo) < len(sources):
        print(f'{(len(sources) - len(todo)) * args.num_noises} images already exist')

    options = dict(
        batch_size=args.batch_size,
        num_samples=args.num_noises,
        seed=args.seed,
        truncation=args.truncation,
        size='config',
    )
    start, done, total = time.time(), 0, len(todo) * args.num_noises
    labels, step = list(todo), max(1, args.batch_size // args.num_noises)
    if args.for_training:
        step = 1
    for i in range(0, len(labels), step):
        part = labels[i : i + step]
        maps = [sources[label][1] for label in part]
        if args.for_training:
            name = sources[part[0]][0]
            result = generate_for_training(model, *part, *maps, name, args.warp, options)
        else:
            asked = dict(return_datasamples=True, return_attention=bool(args.attention))
            result = model(part, instances=maps, **asked, **options)
        places = iter([place for label in part for place in todo[label]])
        for image, sample in zip(result['visualization'], result['predictions']):
            write_image(next(places), image)
            if args.for_training:
                write_image(next(places), sample.gt_sem_seg.numpy().astype('uint8'))
            if args.attention:
                row, titles = sample_row(sample, model.palette, sample.instance_labels.numpy())
                write_image(next(places), make_grid([row], titles))
        done += len(result['visualization'])
        left = (time.time() - start) / done * (total - done)
        print(f'\r{done}/{total} images, {left:.0f} s left  ', end='', flush=True)
    print(f'\nwritten to {args.out}')

    if args.sheet:
        chosen = spread(list(sources), SHEET_ROWS)
        maps = [sources[label][1] for label in chosen]
        write_image(args.sheet, draw_sheet(models, chosen, maps, options))
        print(f'sheet: {args.sheet}')


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
