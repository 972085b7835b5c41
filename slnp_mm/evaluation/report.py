"""Reports: every figure with the protocol that made it."""

import json
import math
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .scorers.deeplabv3 import file_sha256

FORMAT = 1
PACKAGES = (
    'torch',
    'torchvision',
    'mmengine',
    'mmcv',
    'mmagic',
    'mmsegmentation',
    'numpy',
    'scipy',
    'opencv-python',
)
# Differences in these make two reports incomparable.
PROTOCOL_KEYS = (
    'data',
    'split',
    'num_images',
    'image_sizes',
    'label_pixels',
    'ignored_pixels',
    'ignore_index',
    'class_map',
    'quantised',
    'segmentation',
    'features',
)
SEGMENTATION = ('PA', 'mIoU', 'mAcc')
# Recorded inside a scorer's entry, but not part of the protocol.
SCORER_NOTES = ('config', 'checkpoint', 'training', 'precision')


def versions() -> dict[str, str]:
    """Versions of all packages that take part in a score."""
    from slnp_mm.version import __version__

    out = dict(slnp_mm=__version__, python=platform.python_version())
    for name in PACKAGES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            out[name] = 'absent'
    return out


def build_report(
    metrics: Sequence[Any],
    run: dict[str, Any],
    data: str | None = None,
    split: str | None = None,
    others: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Join the metrics' last results into one report.

    A metric's ``prefix`` stands before its figures, its classes and its
    part of the protocol, so that two metrics of one kind keep apart.

    Args:
        metrics (Sequence[Any]): Metrics after ``evaluate`` on this process;
            those without ``last_report`` are left out.
        run (Dict[str, Any]): Where the images are from: ``config``,
            ``checkpoint``, ``iteration``, ``seed``, ``images``.
        data (str, optional): Name of the data set.
        split (str, optional): Its split.
        others (Dict[str, Any], optional): All figures of the evaluation;
            the numbers that no metric here made (mmagic's ``SWD``) are
            added and named in the protocol as ``others``.

    Returns:
        Dict[str, Any]: ``figures`` by name, ``per_class``, ``protocol``,
        ``run``, ``versions``.

    Raises:
        ValueError: If no metric has a result.
    """
    parts = [m for m in metrics if getattr(m, 'last_report', None)]
    if not parts:
        raise ValueError(
            'Expected a metric of slnp_mm with a result, got none: there is nothing to report.'
        )
    figures: dict[str, Any] = {}
    protocol: dict[str, Any] = dict(
        data=data,
        split=split,
        quantised='uint8, rounded to nearest',
        num_images=max(m.last_report['num_images'] for m in parts),
        features=[],
    )
    per_class: list[dict] = []
    for metric in parts:
        head = f'{metric.prefix}/' if metric.prefix else ''
        part = metric.last_report
        own = metric.figures() if 'scorer' in part else part['figures']
        figures.update({head + k: v for k, v in own.items()})
        if 'scorer' in part:
            per_class += class_rows(part, head)
            protocol.update(segmentation_entries(metric, head))
        else:
            protocol['features'].append(part['extractor'])
    more = {
        k: v for k, v in (others or {}).items() if k not in figures and isinstance(v, (int, float))
    }
    if more:
        protocol['others'] = sorted(more)
    return dict(
        format=FORMAT,
        figures={k: finite(v) for k, v in {**figures, **more}.items()},
        per_class=per_class,
        protocol=protocol,
        run=run,
        versions=versions(),
    )


def segmentation_entries(metric: Any, head: str) -> dict[str, Any]:
    """Protocol of one segmentation metric, ``head`` before each name."""
    part = metric.last_report
    names = ('label_pixels', 'ignored_pixels', 'class_map', 'image_sizes')
    out = {name: part[name] for name in names}
    out.update(ignore_index=metric.ignore_index, segmentation=part['scorer'])
    return {head + k: v for k, v in out.items()}


def finite(value: Any) -> Any:
    """The number, None for NaN and infinity, which JSON does not know."""
    return value if math.isfinite(value) else None


def class_rows(part: dict[str, Any], head: str = '') -> list[dict]:
    """Per-class IoU and accuracy, generated beside real."""
    fake, real = part['figures']['fake'], part['figures']['real']
    names = part['classes'] or [str(i) for i in range(len(fake['IoU']))]
    return [
        {
            'class': head + name,
            'IoU': fake['IoU'][i],
            'real/IoU': real['IoU'][i],
            'Acc': fake['Acc'][i],
            'real/Acc': real['Acc'][i],
        }
        for i, name in enumerate(names)
    ]


def describe_checkpoint(path: str | None) -> dict[str, str] | None:
    """Name and SHA-256 of a generator's checkpoint, None if there is none."""
    if not path or not os.path.isfile(path):
        return None
    return dict(file=os.path.basename(path), sha256=file_sha256(path))


def save_report(report: dict[str, Any], path: str) -> list[str]:
    """Write ``path`` (JSON) and the table beside it (``.md``).

    Args:
        report (Dict[str, Any]): Of :func:`build_report`.
        path (str): Ends in ``.json``.

    Returns:
        List[str]: The two paths.

    Raises:
        ValueError: If the path ends otherwise.
    """
    if not path.endswith('.json'):
        raise ValueError(f'Expected a report path ending in .json, got {path}.')
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    table = f'{path[:-5]}.md'
    for name, text in (
        (path, json.dumps(report, indent=2, default=str)),
        (table, markdown(report)),
    ):
        draft = f'{name}.part{os.getpid()}'
        with open(draft, 'w', encoding='utf-8') as file:
            file.write(text + '\n')
        os.replace(draft, name)
    return [path, table]


def load_report(path: str) -> dict[str, Any]:
    """Read a report.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no report of this format.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'Report {path} does not exist.')
    try:
        with open(path, encoding='utf-8') as file:
            report = json.load(file)
    except ValueError as error:
        raise ValueError(
            f'Expected a JSON report in {path}, got a file that does not parse ({error}).'
        ) from error
    if not isinstance(report, dict) or report.get('format') != FORMAT:
        raise ValueError(f'Expected a report of format {FORMAT} in {path}, got another file.')
    return report


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Protocol entries in which two reports differ, as text.

    The scorer's file name, config name and training notes do not count, its
    SHA-256 does.
    """
    both = [*first['protocol'], *second['protocol']]
    keys = [
        key for name in PROTOCOL_KEYS for key in dict.fromkeys(both) if key.split('/')[-1] == name
    ]
    out = []
    for key in keys:
        a, b = (strip_notes(r['protocol'].get(key)) for r in (first, second))
        if json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True):
            out.append(f'{key}: {short(a)} and {short(b)}')
    return out


def strip_notes(value: Any) -> Any:
    """A protocol entry without notes, networks in a fixed order."""
    if isinstance(value, dict):
        return {k: v for k, v in value.items() if k not in SCORER_NOTES}
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        return sorted((strip_notes(v) for v in value), key=str)
    return value


def short(value: Any) -> str:
    """One line of a protocol entry; hashes cut to 12 digits."""
    if isinstance(value, dict):
        return ', '.join(f'{k} {short(v)}' for k, v in value.items())
    if isinstance(value, list):
        return '[' + '; '.join(short(v) for v in value) + ']'
    text = str(value)
    return text[:12] if len(text) == 64 and ' ' not in text else text


def markdown(report: dict[str, Any]) -> str:
    """The report as Markdown that also reads well in a terminal."""
    figures, protocol = report['figures'], report['protocol']
    heads = [k[: -len('real/PA')] for k in figures if is_ceiling(k)]
    rows = [row for head in heads for row in segmentation_rows(figures, head)]
    text = []
    if rows:
        text.append(
            table(
                ['score', 'generated', 'real (ceiling)', 'share of ceiling'],
                rows,
            )
        )
    shown = {
        head + kind + name
        for head in heads
        for kind in ('', 'real/', 'share/')
        for name in SEGMENTATION
    }
    rest = [[k, _cell(v)] for k, v in figures.items() if k not in shown]
    if rest:
        text.append(table(['score', 'value'], rest))
    if report['per_class']:
        text.append(
            table(
                ['class', 'IoU', 'IoU of real', 'Acc', 'Acc of real'],
                [[_cell(v) for v in row.values()] for row in report['per_class']],
            )
        )
    text.append(
        'Protocol: '
        + '; '.join(
            f'{k} {short(strip_notes(v))}' for k, v in protocol.items() if v not in (None, [])
        )
    )
    text.append(
        'Run: ' + '; '.join(f'{k} {short(v)}' for k, v in report['run'].items() if v is not None)
    )
    text.append('Versions: ' + ', '.join(f'{k} {v}' for k, v in report['versions'].items()))
    return '\n\n'.join(text)


def is_ceiling(name: str) -> bool:
    """Whether a figure is the PA of real images, prefixed or not."""
    return name == 'real/PA' or name.endswith('/real/PA')


def segmentation_rows(figures: dict[str, Any], head: str) -> list[list]:
    """Generated, real and share of one segmentation metric."""
    rows = []
    for name in SEGMENTATION:
        share = figures.get(f'{head}share/{name}')
        rows.append(
            [
                head + name,
                _cell(figures.get(head + name)),
                _cell(figures.get(f'{head}real/{name}')),
                '' if share is None else f'{share:.1f} %',
            ]
        )
    return rows


def compare(first: dict[str, Any], second: dict[str, Any], names: Sequence[str]) -> str:
    """Two reports side by side.

    Args:
        first (Dict[str, Any]): Report.
        second (Dict[str, Any]): Report.
        names (Sequence[str]): Two column titles.

    Returns:
        str: Markdown table; the difference is second minus first.
    """
    keys = list(first['figures'])
    keys += [k for k in second['figures'] if k not in keys]
    rows = []
    for key in keys:
        a, b = first['figures'].get(key), second['figures'].get(key)
        gap = '' if a is None or b is None else f'{b - a:+.4g}'
        rows.append([key, _cell(a), _cell(b), gap])
    return table(['score', *names, 'difference'], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table with padded columns."""
    cells = [[str(v) for v in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ['| ' + ' | '.join(v.ljust(w) for v, w in zip(row, widths)) + ' |' for row in cells]
    rule = '|' + '|'.join(':' + '-' * (w + 1) for w in widths) + '|'
    return '\n'.join([lines[0], rule, *lines[1:]])


def _cell(value: Any) -> Any:
    return '-' if value is None else value
