"""Find images, label maps and classes in a folder, as annotation programs leave them."""

import hashlib
import json
import os
import re
from argparse import Namespace
from collections import Counter, defaultdict
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from slnp_mm.datasets import files
from slnp_mm.datasets.check import spread
from slnp_mm.datasets.slnp_dataset import mmseg_metainfo
from slnp_mm.errors import DataError
from slnp_mm.files import replace_file

# kinds of folders and splits by words in their names
KINDS = dict(
    skip='visuali[sz]ation|human|npy|masks_instances|imagesets',
    instance='instance|segmentationobject',
    label='label|mask|annot|segmentation|gtfine|stuffthing|ground.?truth|^gt$',
    img='ima?ge?s?|leftimg8bit|photo|rgb|input',
)
SPLIT = '(?<![a-z])(train|val|test)'
IMAGE_ENDS = ('', '_leftImg8bit', '_image', '_img', '_rgb', '_sat')
# files with the names of the classes, and the program that writes them
NAMES = {
    'labelmap.txt': 'CVAT',
    'class_names.txt': 'labelme',
    'obj_class_to_machine_color.json': 'Supervisely',
    '_classes.csv': 'Roboflow',
    **dict.fromkeys(['class_dict.csv', 'classes.txt', 'label_colors.txt', 'labels.txt']),
}
TASK = re.compile(r'task-(\d+)-annotation-(\d+)-by-[^-]*-[^-]+-(.+)-\d+\.png')
VOID = re.compile('un(label|anno).*|void|_*ignored?_*', re.I)
SAMPLE = 2000  # label maps that are read to find the classes


def role(parts: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Kind of files and split that the names of nested folders stand for."""
    kinds = [kind for p in parts for kind, words in KINDS.items() if re.search(words, p, re.I)]
    splits = re.findall(SPLIT, '/'.join(parts), re.I)
    return kinds[0] if kinds else None, splits[0].lower() if splits else None


def find_folders(root: Path, kind: str | None, option: str, said: str | None) -> dict:
    """Folder of a kind by split, None if there are no splits: by names, or below ``said``."""
    top = root if not said else next((p for p in (root / said, Path(said)) if p.is_dir()), None)
    if top is None:
        raise DataError(f'no folder {said} in {root} or here: check --{option}')
    ends = files.LABEL_SUFFIXES if kind in ('label', 'instance') else files.IMAGE_SUFFIXES
    found, first = defaultdict(set), int(bool(said))
    for place, below, names in os.walk(top, followlinks=True):
        parts = Path(place).relative_to(top).parts
        below[:] = [name for name in below if name[0] not in '._@' and len(parts) < 5]
        own = role(parts)
        if (said or own[0] == kind) and any(files.cut_suffix(n, ends) for n in names):
            while parts and role(parts[:-1])[first:] == own[first:]:
                parts = parts[:-1]
            where = top.joinpath(*parts)
            inside = where.is_relative_to(root)
            found[own[1]].add(str(where.relative_to(root) if inside else where.absolute()))
    if len(found) > 1:
        found.pop(None, None)
    for split, places in found.items():
        plain = [place for place in sorted(places) if not re.search('colou?r', place)]
        if len(plain or places) > 1:
            both = ' and '.join(sorted(plain or places)[:3])
            raise DataError(f'{both} can each be the {option}: say which with --{option}')
        found[split] = min(plain or places)
    return dict(found)


def find_suffixes(images: list[str], labels: list[str], inside: bool) -> tuple[str, list[str]]:
    """What follows the common part of the names of an image and its label maps."""
    best = 0, '', Counter()
    for end in IMAGE_ENDS:
        stems = {os.path.splitext(name)[0] for name in images}
        stems = {stem.removesuffix(end) for stem in stems if stem.endswith(end)}
        tails = Counter()
        for name in labels:
            stem = os.path.splitext(name)[0]
            cuts = range(len(stem) - inside, 0, -1)  # an image is no label map of its own
            tails[name[next((cut for cut in cuts if stem[:cut] in stems), 0) :]] += 1
        if (most := max(tails.values(), default=0)) > best[0]:
            best = most, end, tails
    most, end, tails = best
    return end, [tail for tail, number in tails.items() if number > most / 2 and tail not in labels]


def read_names(path: Path) -> list[tuple]:
    """Id, name and color of each class in a file, None for what it does not say.

    Lines are ``name``, ``id: name``, ``id, name``, ``name, r, g, b``, ``r g b name`` or, of CVAT,
    ``name:r,g,b:parts:actions``.
    """
    text = files.read_bytes(str(path)).decode('utf-8-sig', 'replace')
    if path.suffix == '.json':  # 0 is what nobody has painted
        return [(0, 'background', None)] + [(c[0], n, None) for n, c in json.loads(text).items()]
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line[0] == '#' or re.match(r'pixel value|name\W+r\W+g\W+b', line, re.I):
            continue
        if first := re.match(r'(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(.+)', line):
            found.append((None, first[4], tuple(map(int, first.groups()[:3]))))
            continue
        pattern = r'(?:(\d+)\s*[,:\s]\s*)?(.*?)(?:[,:\s]+(\d+)[,\s]+(\d+)[,\s]+(\d+))?(?::.*)?'
        number, name, *color = re.fullmatch(pattern, line).groups()
        color = tuple(map(int, color)) if color[0] else None
        found.append((number and int(number), name, color))
    return found


def scan(paths: list[str], by_color: bool) -> tuple[bool, dict[int, list], list]:
    """Whether label maps hold colors, what each id or color code has, and the first palette.

    A value has its pixels, its files, those where it is thicker than a line, and its first file.
    """
    values: dict = {}
    for path in spread(paths, SAMPLE):
        raw = files.decode_ids(files.read_bytes(path), path, by_color)
        if raw.ndim == 3 and not by_color:
            return scan(paths, True)
        if by_color:
            raw = files.id24(raw if raw.ndim == 3 else raw[..., None].repeat(3, 2))
        for value, number in zip(*np.unique(raw, return_counts=True)):
            row = values.setdefault(int(value), [0, 0, 0, path])
            thick = by_color and cv2.erode((raw == value).astype(np.uint8), np.ones((7, 7))).any()
            row[:3] = row[0] + int(number), row[1] + 1, row[2] + bool(thick)
        if len(values) > 256:
            raise DataError(
                f'the label maps hold more than 256 {"colors" if by_color else "ids"} ({path}): '
                'name their folder with --labels, and export them as PNG without smooth edges'
            )
    flat = Image.open(paths[0]).getpalette() or []
    return by_color, values, [flat[i : i + 3] for i in range(0, len(flat), 3)]


def triple(code: int) -> list[int]:
    """The color of a code of :func:`files.id24`."""
    return [code & 255, code >> 8 & 255, code >> 16]


def make_rule(scanned: tuple, names: list[tuple], source: str, said: str | None) -> dict:
    """Classes and label rule, arguments of ``SLNPDataset``, and what to tell about them.

    Raises:
        DataError: If a value of the label maps belongs to no class, or could mean two things.
    """
    by_color, values, palette = scanned
    words = [word.strip() for word in said.split(',')] if said else []
    listed, colors = {}, {}
    free = (number for number in count() if str(number) not in words)
    for number, name, color in names:
        key = next(free) if number is None else number
        if by_color and color is None and number is None:
            raise DataError(
                f'{source} gives {name} no color, but the label maps hold colors: write lines such '
                f'as "{name} 128 64 0", in RGB'
            )
        color = color or ([key] * 3 if by_color else None)
        key = int(files.id24(np.array(color))) if by_color else key
        listed[key], colors[key] = name, color

    # unlabelled: what the user or a name says, else 255, black, or the lines between all regions
    void = {key for key, name in listed.items() if name in words or VOID.fullmatch(name)}
    for word in set(words) - {'none', *listed.values()}:
        if not re.fullmatch('[0-9]+|#[0-9a-fA-F]{6}', word):
            raise DataError(f'--unlabelled {word} is no class, id or color such as #e0e0c0')
        void.add(int.from_bytes(bytes.fromhex(word[1:]), 'little') if '#' in word else int(word))
    strange = values.keys() - listed.keys() - void
    most = 0.8 * max(row[1] for row in values.values())
    lines = {key for key in strange if not values[key][2] and values[key][1] > most}
    if not words:
        void |= strange & (lines | {0} if names else lines) if by_color else strange & {255}
    if not words and not by_color and not names and {*values} == {0, 255}:
        void, listed = set(), {0: 'background', 255: 'object'}
    strange -= void
    if not names and not listed:
        name = '#{:02x}{:02x}{:02x}'.format if by_color else 'class {}'.format
        listed = {key: name(*(triple(key) if by_color else [key])) for key in sorted(strange)}
    elif strange - {*listed}:
        shown = ', '.join(str(triple(k) if by_color else k) for k in sorted(strange)[:4])
        raise DataError(
            f'{values[min(strange)][3]} holds {shown}, which {source} does not name: add it there, '
            'or say what is unlabelled, such as --unlabelled 0 where classes are counted from 1'
        )
    keys = [key for key in listed if key not in void]
    if len(keys) < 2:
        raise DataError(
            f'the label maps hold {len(keys)} class besides unlabelled, expected 2 or more: name '
            'their folder with --labels, or what is unlabelled with --unlabelled (none: nothing)'
        )

    meta, label = dict(classes=tuple(listed[key] for key in keys)), {}
    if by_color:
        label = dict(colors=[triple(key) for key in keys])
        label.update(unlabelled_colors=[triple(key) for key in void]) if void else None
    elif keys != [*range(len(keys))]:
        label = dict(label_map={key: place for place, key in enumerate(keys)})
    if void - {255} and not by_color:
        label['unlabelled_ids'] = tuple(sorted(void | {255} - {*keys}))
    shown = [[*colors[k]] if colors.get(k) else (palette[k : k + 1] or [None])[0] for k in keys]
    if not by_color and None not in shown and len({*map(tuple, shown)}) == len(keys):
        meta['palette'] = shown
    total = sum(row[0] for row in values.values())
    rare = [listed[k] for k in keys if k in values and values[k][0] < total / 1000]
    empty = [listed[k] for k in keys if k not in values]
    spell = [listed.get(k, str(triple(k) if by_color else k)) for k in sorted(void)]
    told = {
        'classes': [f'{len(keys)}: {", ".join(meta["classes"])}'],
        'names': [source],
        'unlabelled': spell,
        'under 0.1 % of the pixels': rare,
        'without a pixel': empty,
    }
    told = {what: ', '.join(taken) or '-' for what, taken in told.items()}
    return dict(data=dict(metainfo=meta) | (dict(label=label) if label else {}), told=told)


def join_brushes(root: Path, masks: list[Path], out: Path) -> tuple[dict, list[tuple], list[str]]:
    """Write label maps from Label Studio's masks, one a region: folders, classes and names.

    Only the project's JSON export says of which image a task is.
    """
    tasks, regions, samples = {}, defaultdict(list), {}
    for path in root.rglob('*.json'):
        listed = json.loads(files.read_bytes(str(path)))
        for task in listed if isinstance(listed, list) else []:
            names = {re.split('[/=]', str(text))[-1] for text in task.get('data', {}).values()}
            tasks[str(task['id'])] = names | {re.sub('^[0-9a-f]{8}-', '', name) for name in names}
    for path in sorted(masks):
        task, version, name = TASK.fullmatch(path.name).groups()
        regions[task].append((int(version), name, path))
    classes = sorted({name for group in regions.values() for _, name, _ in group})
    images = {p.name: p for p in root.rglob('*') if p.suffix.lower() in files.IMAGE_SUFFIXES}
    for task, group in regions.items():
        names = tasks.get(task, set())
        if not names & images.keys():
            raise DataError(
                f'no image for task {task} of Label Studio ({", ".join(names) or "unknown"}): put '
                f"the images and the project's JSON export into {root}, beside the masks"
            )
        label = np.uint8(0)
        for version, name, path in group:
            if version == max(group)[0]:  # of several annotations, the last
                mask = files.decode_ids(files.read_bytes(str(path)), str(path)) > 0
                label = np.where(mask, np.uint8(classes.index(name) + 1), label)
        samples[images[min(names & images.keys())]] = label
    top = Path(os.path.commonpath([image.parent for image in samples]))
    for image, label in samples.items():
        with replace_file(out / image.relative_to(top).with_suffix('.png')) as draft:
            Image.fromarray(label).save(draft)
    stems = sorted(image.relative_to(top).with_suffix('').as_posix() for image in samples)
    folders = dict(img={None: str(top.relative_to(root))}, label={None: str(out)}, instance={})
    return folders, [(None, name, None) for name in ['background', *classes]], stems


def divide(names: list[str], val: str | None) -> dict[str, list[str]]:
    """Train and val: those of a list, or every tenth by the hash of its name."""
    digest = {name: int(hashlib.sha1(name.encode()).hexdigest(), 16) % 10 for name in names}
    chosen = {name for name in names if digest[name] == min(digest.values())}
    if val:
        lines = [line.strip() for line in files.read_bytes(val).decode().splitlines()]
        chosen = {*lines, *(os.path.splitext(line)[0] for line in lines)} & {*names}
    if not chosen or len(chosen) == len(names):
        raise DataError(
            f'{len(chosen)} of {len(names)} samples would be for validation: expected a part of '
            'them; give more images, or a list of names with --val'
        )
    return dict(train=[n for n in names if n not in chosen], val=sorted(chosen))


def find_files(root: Path, folders: dict, suffix: str | None) -> tuple[dict, dict]:
    """Suffixes, as arguments of ``SLNPDataset``, and the names of the images of each split."""
    beside = not folders['label']
    folders['label'] = folders['label'] or folders['img']

    def names_in(place: str, ends: tuple[str, ...]) -> list[str]:
        listed = files.list_files(str(root / place), '')[0]
        return [name for name in listed if files.cut_suffix(name, ends)]

    images = [n for place in folders['img'].values() for n in names_in(place, files.IMAGE_SUFFIXES)]
    labels = [
        n for place in folders['label'].values() for n in names_in(place, files.LABEL_SUFFIXES)
    ]
    photos = [name for name in images if name not in {*labels}] if beside else images
    end, tails = find_suffixes(photos or images, labels, beside and not photos)

    known, maps = {}, [tail for tail in tails if re.search('instance', tail, re.I)]
    plain = [t for t in tails if t not in maps and not re.search('colou?r|vis|overlay', t)]
    plain = [suffix] if suffix else plain
    if len(plain) > 1:
        both = ' or '.join(sorted(plain))
        raise DataError(f'label maps can be {both}: say which with --label-suffix')
    if beside and (not plain or not (photos or plain[0] not in files.LABEL_SUFFIXES)):
        there = Counter(os.path.splitext(name)[1] for name in files.list_files(str(root), '')[0])
        raise DataError(
            f'no label maps in {root}: expected PNG, TIFF or BMP files in a folder such as labels '
            f'or masks, or 0001_mask.png beside 0001.jpg; it holds {dict(there.most_common(4))}: '
            'export the masks as images, or say where they are with --labels'
        )
    if plain and (beside or plain[0] not in files.LABEL_SUFFIXES):
        known['label_suffix'] = plain[0]
    if end or beside:
        parts = map(os.path.splitext, photos or images)
        known['img_suffix'] = tuple(
            sorted({end + kind for stem, kind in parts if stem.endswith(end)})
        )
    if maps and not folders['instance']:
        folders['instance'], known['instance_suffix'] = folders['label'], maps[0]

    ends, other = known.get('img_suffix', files.IMAGE_SUFFIXES), known.get('label_suffix', '/')
    stems = {
        split: sorted(
            files.cut_suffix(n, ends) for n in names_in(place, ends) if not n.endswith(other)
        )
        for split, place in folders['img'].items()
    }
    return known, stems


def find_layout(root: Path, args: Namespace, out: Path) -> dict[str, Any]:
    """Find out how a folder is made; ``args`` are the options of ``tools/fit.py``.

    Returns:
        dict: ``data``, arguments of ``SLNPDataset``; ``train`` and ``val``, those of one split;
        ``lists``, the names in splits that are not in the files; ``told``, what was taken for what;
        ``count`` of the images and ``short_side``, the median of some, in pixels.

    Raises:
        DataError: If something is missing or ambiguous; it names the option.
    """
    names, listed, program = [], [], None
    masks = [path for path in root.rglob('task-*.png') if TASK.fullmatch(path.name)]
    if masks and not args.labels:
        folders, names, listed = join_brushes(root, masks, out / 'labels')
        program = 'Label Studio'
    else:
        kinds = dict(img='images', label='labels', instance='instances')
        folders = {k: find_folders(root, k, name, getattr(args, name)) for k, name in kinds.items()}
        folders['img'] = folders['img'] or find_folders(root, None, 'images', None)
    if not folders['img']:
        raise DataError(
            f'no images in {root}: expected files such as 0001.jpg in a folder such as images, or '
            'beside the label maps; say where with --images (CVAT exports them if asked to)'
        )
    data, stems = find_files(root, folders, args.label_suffix)

    # splits
    def part(split: str | None, **more) -> dict:
        places = {k: each.get(split, each.get(None)) for k, each in folders.items() if each}
        return dict(data_prefix=places, **more)

    lists, parts = {}, {}
    sets = {p.stem.lower(): p for p in sorted(root.glob('ImageSets/Segmentation/*.txt'))}
    held = next((sets[name] for name in ('val', 'validation', 'test') if name in sets), None)
    val = [s for s in ('val', 'test') if s in stems and {s, None} & folders['label'].keys()][:1]
    if 'train' in stems and val and not args.val:
        parts = dict(train=part('train'), val=part(*val))
        if None in folders['label']:  # one folder for all splits
            lists = dict(train=stems['train'], val=stems[val[0]])
    elif 'train' in sets and held and not args.val:
        each = dict(train=sets['train'], val=held).items()
        parts = {split: part(None, ann_file=str(p.relative_to(root))) for split, p in each}
    else:
        first = min(stems, key=str)
        if sets and not listed:
            whole = sets.get('trainval') or sets.get('train') or min(sets.values())
            listed = [line.strip() for line in whole.read_text().splitlines() if line.strip()]
        lists = divide(listed or stems[first], args.val)
        parts = dict(train=part(first), val=part(first))

    # classes
    label_folders = {part['data_prefix']['label'] for part in parts.values()}
    ends, used = data.get('label_suffix', files.LABEL_SUFFIXES), {*sum(lists.values(), [])}
    maps = [
        path
        for place in sorted(label_folders)
        for name, path in files.list_files(str(root / place), ends)[0].items()
        if not used or name in used
    ]
    near = [root / place / name for name in NAMES for place in ('', 'train', *label_folders)]
    near = [Path(args.classes)] if args.classes else near
    source = next((path for path in near if path.is_file()), None)
    if args.classes and not source:
        names = [(None, name.strip(), None) for name in args.classes.split(',')]
    elif source:
        names, program = names or read_names(source), program or NAMES.get(source.name)
    scanned = scan(maps, False)
    if any(color for *_, color in names) and (scanned[0] or scanned[2]):  # of a palette, too
        scanned = scan(maps, True)
    if sets and not names and not scanned[0] and {*scanned[1]} <= {*range(21), 255}:
        names = [(None, name, None) for name in mmseg_metainfo('PascalVOCDataset')['classes']]
        program = 'Pascal VOC'
    spoken = str(source) if source else '--classes' if args.classes else program if names else ''
    rule = make_rule(scanned, names, spoken, args.unlabelled)
    if folders['instance']:
        data['instance'] = dict(background_ids=(0,))

    images = [
        path
        for place in {part['data_prefix']['img'] for part in parts.values()}
        for path in files.list_files(str(root / place), '')[0].values()
        if files.cut_suffix(path, data.get('img_suffix', files.IMAGE_SUFFIXES))
    ]
    sizes = [files.header_size(files.read_bytes(path)) for path in spread(images, 50)]
    told = dict(program=program or 'folders')
    for kind, option in (('img', 'images'), ('label', 'labels'), ('instance', 'instances')):
        told[option] = ', '.join(dict.fromkeys(folders[kind].values())) or '-'
    return dict(
        data=dict(type='mmagic.SLNPDataset', data_root=str(root), **data, **rule['data']),
        **parts,
        lists=lists,
        told=told | rule['told'],
        count=sum(map(len, stems.values())),
        short_side=float(np.median([min(size) for size in sizes if size] or [0])),
    )
