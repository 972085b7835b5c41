"""Reports: figures with the protocol that produced them."""

import json
import math
import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from slnp_mm.files import replace_file

from ..errors import SLNPError
from .scorers.base import file_sha256

FORMAT = 1
PACKAGES = 'torch torchvision mmengine mmagic mmsegmentation numpy scipy'.split()
# Protocol entries in which comparable reports may differ: file names, the scorer's training, half
# precision on a GPU, figures of other packages' metrics.
NOTES = ('config', 'checkpoint', 'training', 'precision', 'others')


def versions() -> dict[str, str]:
    """Versions of all packages that affect a score."""
    import cv2  # distributed under three names
    import mmcv  # under two

    from slnp_mm.version import __version__

    out = dict(slnp_mm=__version__, python=platform.python_version())
    out.update(opencv=cv2.__version__, mmcv=mmcv.__version__)
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
    """Join the metrics' last results into one report of plain JSON values.

    Args:
        metrics (Sequence[Any]): Metrics after ``evaluate`` on this process; those without
            ``last_report`` are ignored.
        run (dict[str, Any]): Origin of the images: ``config``, ``checkpoint``, ``iteration``,
            ``seed``, ``images``.
        data (str, optional): Name of the data set.
        split (str, optional): Its split.
        others (dict[str, Any], optional): All figures of the evaluation; numbers from other metrics
            (mmagic's ``SWD``) are added and listed in the protocol as ``others``.

    Returns:
        dict[str, Any]: ``format``, ``figures`` by name (None for NaN and infinity, which JSON
        lacks), ``per_class``, ``protocol``, ``run``, ``versions``.

    Raises:
        SLNPError: If no metric has a result.
    """
    parts = [m.last_report for m in metrics if getattr(m, 'last_report', None)]
    if not parts:
        raise SLNPError(
            'Expected a metric of slnp_mm with a result, got none: there is nothing to report.'
        )
    figures: dict[str, Any] = {}
    classes: dict[str, dict] = {}
    protocol: dict[str, Any] = dict(
        data=data,
        split=split,
        quantised='uint8, rounded to nearest',
        num_images=max(part['num_images'] for part in parts),
        features=[part['features'] for part in parts if 'features' in part],
    )
    for part in parts:
        figures.update(part['figures'])
        protocol.update(part.get('protocol', {}))
        for name, row in part.get('per_class', {}).items():
            classes.setdefault(name, {'class': name}).update(row)

    # figures of other metrics
    more = {
        k: v for k, v in (others or {}).items() if k not in figures and isinstance(v, (int, float))
    }
    if more:
        protocol['others'] = sorted(more)
    report = dict(
        format=FORMAT,
        figures={k: v if math.isfinite(v) else None for k, v in {**figures, **more}.items()},
        per_class=list(classes.values()),
        protocol=protocol,
        run=run,
        versions=versions(),
    )
    return json.loads(json.dumps(report, default=str))


def describe_checkpoint(path: str | None) -> dict[str, str] | None:
    """Name and SHA-256 of a generator's checkpoint; None if there is none."""
    if not path or not os.path.isfile(path):
        return None
    return dict(file=os.path.basename(path), sha256=file_sha256(path))


def save_report(report: dict[str, Any], path: str) -> list[str]:
    """Write ``path`` (``.json``) and its table (``.md``); return both paths."""
    texts = {path: json.dumps(report, indent=2), f'{path[:-5]}.md': markdown(report)}
    for name, text in texts.items():
        with replace_file(name) as draft, open(draft, 'w', encoding='utf-8') as file:
            file.write(text + '\n')
    return list(texts)


def load_report(path: str) -> dict[str, Any]:
    """Read a report; an SLNPError if it is no report of this format."""
    try:
        with open(path, encoding='utf-8') as file:
            report = json.load(file)
    except ValueError as error:
        raise SLNPError(
            f'Expected a JSON report in {path}, got a file that does not parse ({error}).'
        ) from error
    if not isinstance(report, dict) or report.get('format') != FORMAT:
        raise SLNPError(f'Expected a report of format {FORMAT} in {path}, got another file.')
    return report


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Protocol entries in which two reports differ, as text, without ``NOTES``."""
    a, b = (strip_notes(report['protocol']) for report in (first, second))
    return [
        f'{key}: {short(a.get(key))} and {short(b.get(key))}'
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]


def strip_notes(value: Any) -> Any:
    """A protocol without notes, with the networks in a fixed order."""
    if isinstance(value, dict):
        return {k: strip_notes(v) for k, v in value.items() if k not in NOTES}
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        return sorted(map(strip_notes, value), key=str)
    return value


def short(value: Any) -> str:
    """A protocol entry on one line, with hashes cut to 12 digits."""
    if isinstance(value, dict):
        return ', '.join(f'{k} {short(v)}' for k, v in value.items())
    if isinstance(value, list):
        return '[' + '; '.join(short(v) for v in value) + ']'
    text = str(value)
    return text[:12] if len(text) == 64 and ' ' not in text else text


def markdown(report: dict[str, Any]) -> str:
    """The report as Markdown that also reads well in a terminal."""
    figures, classes = report['figures'], report['per_class']

    # each figure, that of the real images, and the share
    rows = []
    for name, value in figures.items():
        if re.search(r'(^|/)(real|share)/', name):
            continue
        real, share = (
            figures.get(re.sub(r'([^/]+)$', rf'{kind}/\1', name), '') for kind in ('real', 'share')
        )
        rows.append([name, value, real, share if share in ('', None) else f'{share:.1f} %'])
    text = [table(['score', 'generated', 'real', 'share of real'], rows)]

    if classes:
        head = list(dict.fromkeys(key for row in classes for key in row))
        text.append(table(head, [[row.get(key) for key in head] for row in classes]))
    for title, part in (
        ('Protocol', strip_notes(report['protocol'])),
        ('Run', report['run']),
        ('Versions', report['versions']),
    ):
        entries = (f'{k} {short(v)}' for k, v in part.items() if v not in (None, []))
        text.append(f'{title}: ' + '; '.join(entries))
    return '\n\n'.join(text)


def compare(first: dict[str, Any], second: dict[str, Any], names: Sequence[str]) -> str:
    """Two reports side by side as Markdown; the difference is second minus first."""
    rows = []
    for key in dict.fromkeys([*first['figures'], *second['figures']]):
        a, b = first['figures'].get(key), second['figures'].get(key)
        rows.append([key, a, b, '' if a is None or b is None else f'{b - a:+.4g}'])
    return table(['score', *names, 'difference'], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table with padded columns; None is a dash."""
    cells = [['-' if v is None else str(v) for v in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ['| ' + ' | '.join(v.ljust(w) for v, w in zip(row, widths)) + ' |' for row in cells]
    rule = '|' + '|'.join(':' + '-' * (w + 1) for w in widths) + '|'
    return '\n'.join([lines[0], rule, *lines[1:]])
