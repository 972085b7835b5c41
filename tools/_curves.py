"""Training curves: reading, plateaus, and means over seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from slnp_mm.errors import SLNPError

Curves = dict[str, tuple[np.ndarray, np.ndarray]]


def log_files(work_dir: Path) -> list[Path]:
    """List a run's scalar logs, oldest attempt first.

    Args:
        work_dir (Path): Work dir of a training.

    Returns:
        list[Path]: ``TIMESTAMP/vis_data/scalars.json`` of each attempt.
    """
    return sorted(Path(work_dir).glob('*/vis_data/scalars.json'))


def _rows(work_dir: Path) -> list[dict]:
    """Read every whole line of a run's logs, in order."""
    rows = []
    for path in log_files(work_dir):
        for line in path.read_text(encoding='utf-8').splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue  # cut off when the run was stopped
    return rows


def read_curves(work_dir: Path, prefixes: Sequence[str]) -> Curves:
    """Read training curves of a run that may have been resumed.

    Where two attempts logged the same iteration, the later one counts.
    Stages are summed: ``loss_gan_g`` is the sum of ``loss_gan_g_s0``,
    ``loss_gan_g_s1`` and so on, or the key itself.

    Args:
        work_dir (Path): Work dir of the training.
        prefixes (Sequence[str]): Names without their stage.

    Returns:
        Curves: For each name the iterations, (N,) int64, and the values,
        (N,) float64.

    Raises:
        SLNPError: If no line has one of the names.
    """
    found: dict[str, dict[int, float]] = {name: {} for name in prefixes}
    for row in _rows(work_dir):
        if 'iter' not in row:
            continue  # a validation
        for name in prefixes:
            values = [
                value
                for key, value in row.items()
                if key == name or (key.startswith(f'{name}_s') and key[len(name) + 2 :].isdigit())
            ]
            if values:
                found[name][int(row['iter'])] = float(sum(values))
    curves = {}
    for name, points in found.items():
        if not points:
            raise SLNPError(
                f'expected the curve {name} in the logs of {work_dir}, but '
                'no line has it: check the names in the study file'
            )
        steps = np.array(sorted(points), dtype=np.int64)
        curves[name] = steps, np.array([points[step] for step in steps])
    return curves


def last_metrics(work_dir: Path) -> dict[str, float]:
    """Read the scores of a run's last validation.

    Args:
        work_dir (Path): Work dir of the training.

    Returns:
        dict[str, float]: Scores by name, times left out; empty if there was
        no validation.
    """
    rows = [row for row in _rows(work_dir) if 'iter' not in row]
    left_out = ('step', 'time', 'data_time', 'epoch')
    last = rows[-1] if rows else {}
    return {key: value for key, value in last.items() if key not in left_out}


def moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Smooth a curve with a centred mean.

    Args:
        values (np.ndarray): (N,) float.
        window (int): Points, odd, >= 1; fewer at both ends, where the window
            is cut off evenly on both sides.

    Returns:
        np.ndarray: (N,) float64.

    Raises:
        ValueError: If ``window`` is even or below 1.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f'window must be odd and >= 1, but got {window}')
    values = np.asarray(values, dtype=np.float64)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    half = np.minimum(window // 2, np.minimum(places, places[::-1]))
    return (sums[places + half + 1] - sums[places - half]) / (2 * half + 1)


def plateau_start(
    values: np.ndarray,
    window: int = 5,
    tolerance: float = 0.1,
    tail: float = 0.25,
) -> int | None:
    """Find where a curve has reached its plateau.

    The level is the mean of the last ``tail`` of the points. The plateau
    begins at the first point from which on the curve, smoothed over
    ``window`` points, stays within ``tolerance`` times its largest distance
    from the level. A curve that only comes that close inside the tail has
    no plateau.

    Source:
        ours: the paper reads the plateau off figs 13 and 14 by eye.

    Args:
        values (np.ndarray): (N,) float, evenly spaced in iterations.
        window (int): Points of the smoothing, odd. Defaults to 5.
        tolerance (float): Share of the largest distance, no unit, in (0, 1).
            Defaults to 0.1.
        tail (float): Share of the points that give the level, no unit, in
            (0, 1). Defaults to 0.25.

    Returns:
        int | None: Index of the first point of the plateau, or None.

    Raises:
        ValueError: If there are fewer than 8 points, one is not finite, or
            a share is out of range.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 8 or not np.isfinite(values).all():
        raise ValueError(
            'plateau_start expected at least 8 finite points, but got '
            f'{len(values)}, {int((~np.isfinite(values)).sum())} not finite'
        )
    for name, share in (('tolerance', tolerance), ('tail', tail)):
        if not 0 < share < 1:
            raise ValueError(f'{name} must be in (0, 1), but got {share}')
    first_of_tail = len(values) - max(1, round(tail * len(values)))
    distance = np.abs(moving_mean(values, window) - values[first_of_tail:].mean())
    outside = np.flatnonzero(distance > tolerance * distance.max())
    start = int(outside[-1]) + 1 if len(outside) else 0
    return start if start <= first_of_tail else None


def swing_after(values: np.ndarray, start: int | None) -> float | None:
    """Return the variance of a curve from its plateau on.

    Args:
        values (np.ndarray): (N,) float, not smoothed.
        start (int | None): First index, as from :func:`plateau_start`.

    Returns:
        float | None: Variance (divided by the number of points), unit of
        the squared curve; None without a plateau.
    """
    return None if start is None else float(np.var(values[start:]))


def on_common_steps(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Keep the iterations that every curve has.

    Args:
        curves (Sequence[tuple[np.ndarray, np.ndarray]]): Iterations, (N_i,)
            int64, rising, and values, (N_i,) float, one pair per seed.

    Returns:
        tuple[np.ndarray, list[np.ndarray]]: The shared iterations, (N,)
        int64, and each curve's values there, (N,) float64.
    """
    shared = curves[0][0]
    for steps, _ in curves[1:]:
        shared = np.intersect1d(shared, steps)
    return shared, [
        np.asarray(values, dtype=np.float64)[np.isin(steps, shared)] for steps, values in curves
    ]


def band(curves: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation over seeds, point by point.

    Args:
        curves (Sequence[np.ndarray]): One (N_i,) curve per seed; the longer
            ones are cut to the shortest.

    Returns:
        tuple[np.ndarray, np.ndarray]: (N,) each; the deviation divides by
        the number of seeds less one, and is 0 for one seed.
    """
    length = min(len(curve) for curve in curves)
    stacked = np.stack([np.asarray(curve)[:length] for curve in curves])
    ddof = min(1, len(curves) - 1)
    return stacked.mean(0), stacked.std(0, ddof=ddof)


def mean_spread(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation of numbers, one per seed.

    Args:
        values (Sequence[float]): At least one number.

    Returns:
        tuple[float, float]: The deviation divides by the number of seeds
        less one, and is 0 for one seed.
    """
    mean, spread = band([np.array([value]) for value in values])
    return float(mean[0]), float(spread[0])
