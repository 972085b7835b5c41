"""Tables and plots of a study's finished runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from _curves import (
    band,
    mean_spread,
    on_common_steps,
    plateau_start,
    read_curves,
    swing_after,
)
from _study import Run, Study

from slnp_mm.errors import SLNPError


def finished(study: Study) -> dict[str, list[Run]]:
    """Group a study's finished runs by variant.

    Args:
        study (Study): The study.

    Returns:
        dict[str, list[Run]]: Only variants with a finished run.

    Raises:
        SLNPError: If no run is finished.
    """
    groups: dict[str, list[Run]] = {}
    for run in study.runs:
        if run.state == 'done':
            groups.setdefault(run.variant, []).append(run)
    if not groups:
        raise SLNPError(f'{study.name} has no finished run yet: run the study first')
    return {name: groups[name] for name in study.variants if name in groups}


def _cell(values: list[float]) -> str:
    """Write mean ± standard deviation with four digits."""
    mean, spread = mean_spread(values)
    return f'{mean:.4g} ± {spread:.2g}'


def _table(header: list[str], rows: list[list[str]]) -> str:
    """Write a table in Markdown."""
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def metric_table(study: Study) -> str:
    """Write the last validation's scores, mean ± deviation over seeds.

    Args:
        study (Study): With at least one finished run.

    Returns:
        str: Markdown, one row per variant.
    """
    groups = finished(study)
    reports = {
        name: [json.loads(run.report_path.read_text()) for run in runs]
        for name, runs in groups.items()
    }
    first = [report for found in reports.values() for report in found]
    keys = [
        key
        for key in dict.fromkeys(k for r in first for k in r['metrics'])
        if all(isinstance(r['metrics'].get(key, 0.0), (int, float)) for r in first)
    ]
    rows = []
    for name, found in reports.items():
        cells = [name, str(len(found))]
        for key in keys:
            values = [r['metrics'][key] for r in found if key in r['metrics']]
            cells.append(_cell(values) if values else '-')
        cells.append(_cell([r['wall_seconds'] / 60 for r in found]))
        rows.append(cells)
    return _table(['variant', 'seeds', *keys, 'minutes'], rows)


def plateau_rows(study: Study) -> list[dict[str, Any]]:
    """Find plateaus and the swings after them.

    Args:
        study (Study): With ``curves`` and at least one finished run.

    Returns:
        list[dict[str, Any]]: One entry per variant and curve: ``variant``,
        ``curve``, ``seeds``, their number, and per seed ``tails``, the
        variance of the last quarter of the points; for the seeds that
        reached a plateau ``iterations``, ``levels`` and ``variances``.
    """
    rows = []
    for variant, runs in finished(study).items():
        loaded = [read_curves(r.work_dir, list(study.curves)) for r in runs]
        for curve in study.curves:
            row: dict[str, Any] = dict(
                variant=variant, curve=curve, seeds=len(runs),
                iterations=[], levels=[], variances=[], tails=[],
            )  # fmt: skip
            for found in loaded:
                steps, values = found[curve]
                last = len(values) - max(1, len(values) // 4)
                row['tails'].append(swing_after(values, last))
                start = plateau_start(values, **study.plateau)
                if start is None:
                    continue
                row['iterations'].append(int(steps[start]))
                row['levels'].append(float(np.mean(values[start:])))
                row['variances'].append(swing_after(values, start))
            rows.append(row)
    return rows


def plateau_table(study: Study) -> str:
    """Write iterations to the plateau, its level and the variances.

    Args:
        study (Study): With ``curves`` and at least one finished run.

    Returns:
        str: Markdown, one row per variant and curve.
    """
    rows = []
    for row in plateau_rows(study):
        reached = len(row['iterations'])
        cells = [
            _cell(row[key]) if reached else '-' for key in ('iterations', 'levels', 'variances')
        ]
        rows.append([
            row['variant'], study.curves[row['curve']],
            f'{reached} of {row["seeds"]}', *cells, _cell(row['tails']),
        ])  # fmt: skip
    return _table(
        ['variant', 'curve', 'seeds with a plateau', 'iterations to it',
         'level', 'variance after', 'variance of the last quarter'], rows,
    )  # fmt: skip


def plot(study: Study, path: Path) -> None:
    """Plot each variant's curves with a band over seeds.

    One panel per variant, as in figs 13 and 14, on one scale; the band is
    one standard deviation to either side of the mean.

    Args:
        study (Study): With ``curves`` and at least one finished run.
        path (Path): Picture to write; its folder is made.

    Raises:
        SLNPError: If the study names no curves.
    """
    if not study.curves:
        raise SLNPError(f'{study.name} names no curves to plot')
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    groups = finished(study)
    figure, axes = plt.subplots(
        1, len(groups), figsize=(4.2 * len(groups), 3.4), sharey=True,
        squeeze=False, layout='constrained',
    )  # fmt: skip
    for panel, (variant, runs) in zip(axes[0], groups.items()):
        loaded = [read_curves(r.work_dir, list(study.curves)) for r in runs]
        for curve, title in study.curves.items():
            steps, values = on_common_steps([f[curve] for f in loaded])
            mean, spread = band(values)
            (line,) = panel.plot(steps, mean, label=title, linewidth=1)
            panel.fill_between(
                steps, mean - spread, mean + spread,
                color=line.get_color(), alpha=0.25, linewidth=0,
            )  # fmt: skip
        panel.set_title(f'{variant}, {len(runs)} seeds')
        panel.set_xlabel('iteration')
    axes[0, 0].set_ylabel('loss')
    axes[0, 0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.stem}.tmp{path.suffix}')
    figure.savefig(partial, dpi=120)
    plt.close(figure)
    os.replace(partial, path)
