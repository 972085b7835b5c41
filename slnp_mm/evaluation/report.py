"""Reports: every figure with the protocol that made it."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Dict, List, Optional, Sequence

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
# Recorded inside a scorer's entry, but not part of the protocol.
SCORER_NOTES = ('config', 'checkpoint', 'training')


def versions() -> Dict[str, str]:
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
    run: Dict[str, Any],
    data: Optional[str] = None,
    split: Optional[str] = None,
) -> Dict[str, Any]:
    """Join the metrics' last results into one report.

    Args:
        metrics (Sequence[Any]): Metrics after ``evaluate`` on this process;
            those without ``last_report`` are left out.
        run (Dict[str, Any]): Where the images are from: ``config``,
            ``checkpoint``, ``iteration``, ``seed``, ``images``.
        data (str, optional): Name of the data set.
        split (str, optional): Its split.

    Returns:
        Dict[str, Any]: ``figures`` by name, ``per_class``, ``protocol``,
        ``run``, ``versions``.

    Raises:
        ValueError: If no metric has a result.
    """
    parts = [m for m in metrics if getattr(m, 'last_report', None)]
    if not parts:
        raise ValueError(
            'Expected a metric of slnp_mm with a result, got '
            'none: there is nothing to report.'
        )
    figures: Dict[str, Any] = {}
    protocol: Dict[str, Any] = dict(
        data=data,
        split=split,
        quantised='uint8, rounded to nearest',
        num_images=max(m.last_report['num_images'] for m in parts),
        features=[],
    )
    per_class: List[dict] = []
    for metric in parts:
        part = metric.last_report
        if 'scorer' in part:
            figures.update(metric.figures())
            per_class = class_rows(part)
            for key in (
                'label_pixels',
                'ignored_pixels',
                'class_map',
                'image_sizes',
            ):
                protocol[key] = part[key]
            protocol['ignore_index'] = metric.ignore_index
            protocol['segmentation'] = part['scorer']
        else:
            figures.update(part['figures'])
            protocol['features'].append(part['extractor'])
    return dict(
        format=FORMAT,
        figures=figures,
        per_class=per_class,
        protocol=protocol,
        run=run,
        versions=versions(),
    )


def class_rows(part: Dict[str, Any]) -> List[dict]:
    """Per-class IoU and accuracy, generated beside real."""
    fake, real = part['figures']['fake'], part['figures']['real']
    names = part['classes'] or [str(i) for i in range(len(fake['IoU']))]
    return [
        {
            'class': name,
            'IoU': fake['IoU'][i],
            'real/IoU': real['IoU'][i],
            'Acc': fake['Acc'][i],
            'real/Acc': real['Acc'][i],
        }
        for i, name in enumerate(names)
    ]


def describe_checkpoint(path: Optional[str]) -> Optional[Dict[str, str]]:
    """Name and SHA-256 of a generator's checkpoint, None if there is none."""
    if not path or not os.path.isfile(path):
        return None
    return dict(file=os.path.basename(path), sha256=file_sha256(path))


def save_report(report: Dict[str, Any], path: str) -> List[str]:
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
        raise ValueError(
            f'Expected a report path ending in .json, got {path}.'
        )
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


def load_report(path: str) -> Dict[str, Any]:
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
            f'Expected a JSON report in {path}, got a file '
            f'that does not parse ({error}).'
        ) from error
    if not isinstance(report, dict) or report.get('format') != FORMAT:
        raise ValueError(
            f'Expected a report of format {FORMAT} in {path}, '
            'got another file.'
        )
    return report


def differences(first: Dict[str, Any], second: Dict[str, Any]) -> List[str]:
    """Protocol entries in which two reports differ, as text.

    The scorer's file name, config name and training notes do not count, its
    SHA-256 does.
    """
    out = []
    for key in PROTOCOL_KEYS:
        a, b = (strip_notes(r['protocol'].get(key)) for r in (first, second))
        if json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True):
            out.append(f'{key}: {short(a)} and {short(b)}')
    return out


def strip_notes(value: Any) -> Any:
    """A protocol entry without notes, lists in a fixed order."""
    if isinstance(value, dict):
        return {k: v for k, v in value.items() if k not in SCORER_NOTES}
    if isinstance(value, list):
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


def markdown(report: Dict[str, Any]) -> str:
    """The report as Markdown that also reads well in a terminal."""
    figures, protocol = report['figures'], report['protocol']
    rows = []
    for name in ('PA', 'mIoU', 'mAcc'):
        if name in figures:
            share = figures.get(f'share/{name}')
            rows.append(
                [
                    name,
                    figures[name],
                    figures[f'real/{name}'],
                    '' if share is None else f'{share:.1f} %',
                ]
            )
    text = []
    if rows:
        text.append(
            table(
                ['score', 'generated', 'real (ceiling)', 'share of ceiling'],
                rows,
            )
        )
    rest = [
        [k, v]
        for k, v in figures.items()
        if k.split('/')[-1] not in ('PA', 'mIoU', 'mAcc')
    ]
    if rest:
        text.append(table(['score', 'value'], rest))
    if report['per_class']:
        text.append(
            table(
                ['class', 'IoU', 'IoU of real', 'Acc', 'Acc of real'],
                [
                    [_cell(v) for v in row.values()]
                    for row in report['per_class']
                ],
            )
        )
    text.append(
        'Protocol: '
        + '; '.join(
            f'{k} {short(strip_notes(v))}'
            for k, v in protocol.items()
            if v not in (None, [])
        )
    )
    text.append(
        'Run: '
        + '; '.join(
            f'{k} {short(v)}'
            for k, v in report['run'].items()
            if v is not None
        )
    )
    text.append(
        'Versions: '
        + ', '.join(f'{k} {v}' for k, v in report['versions'].items())
    )
    return '\n\n'.join(text)


def compare(
    first: Dict[str, Any], second: Dict[str, Any], names: Sequence[str]
) -> str:
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
    lines = [
        '| ' + ' | '.join(v.ljust(w) for v, w in zip(row, widths)) + ' |'
        for row in cells
    ]
    rule = '|' + '|'.join(':' + '-' * (w + 1) for w in widths) + '|'
    return '\n'.join([lines[0], rule, *lines[1:]])


def _cell(value: Any) -> Any:
    return '-' if value is None else value
