"""Timing shared by the parts of ``tools/benchmark.py``."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch


def _synchronize() -> None:
    """Wait for the accelerator, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def time_once(call: Callable[[], Any], repeats: int = 1) -> float:
    """Time a call.

    Args:
        call (Callable): What to time.
        repeats (int): Calls in a row, >= 1. Defaults to 1.

    Returns:
        float: Mean time of a call, seconds.
    """
    _synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    _synchronize()
    return (time.perf_counter() - start) / repeats


def time_in_turn(
    calls: dict[str, Callable[[], Any]],
    rounds: int = 15,
    warmup: int = 2,
    repeats: int = 1,
) -> dict[str, list[float]]:
    """Time calls in turn, so that a slow spell of the machine meets all.

    Each round times every call once; rounds alternate in direction.

    Args:
        calls (Dict[str, Callable]): Calls by name, in the order of rounds.
        rounds (int): Number of rounds, >= 1. Defaults to 15.
        warmup (int): Rounds before that are not counted. Defaults to 2.
        repeats (int): Calls in a row per timing, >= 1. Defaults to 1.

    Returns:
        Dict[str, List[float]]: Seconds per call, one number per round.

    Raises:
        ValueError: If ``rounds`` or ``repeats`` is below 1.
    """
    if rounds < 1 or repeats < 1:
        raise ValueError(
            f'time_in_turn expected rounds and repeats >= 1, but got {rounds} and {repeats}.'
        )
    times: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(warmup + rounds):
        order = list(calls)[:: -1 if index % 2 else 1]
        for name in order:
            taken = time_once(calls[name], repeats)
            if index >= warmup:
                times[name].append(taken)
    return times


def summarize(values: Sequence[float]) -> dict[str, float]:
    """Return median, minimum and maximum.

    Args:
        values (Sequence[float]): At least one number.

    Returns:
        Dict[str, float]: ``median``, ``min`` and ``max``, in their unit.
    """
    return dict(median=statistics.median(values), min=min(values), max=max(values))


def ratio(times: dict[str, list[float]], name: str, base: str) -> dict[str, float]:
    """Compare two calls round by round.

    Args:
        times (Dict[str, List[float]]): As from :func:`time_in_turn`.
        name (str): The call above the line.
        base (str): The call below the line.

    Returns:
        Dict[str, float]: Median, minimum and maximum of the ratios of the
        rounds, no unit.
    """
    return summarize([a / b for a, b in zip(times[name], times[base])])


def reference_unit(rounds: int = 15) -> float:
    """Time a fixed piece of work, as a unit that carries over machines.

    Args:
        rounds (int): Number of timings. Defaults to 15.

    Returns:
        float: Median time of the product of two float32 matrices of
        1024 x 1024, seconds.
    """
    left, right = torch.ones(2, 1024, 1024)
    times = time_in_turn(dict(mm=lambda: torch.mm(left, right)), rounds)
    return statistics.median(times['mm'])


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown.

    Args:
        header (Sequence[str]): Names of the columns.
        rows (Sequence[Sequence[str]]): Cells, one sequence per row.

    Returns:
        str: The table, one line per row, columns padded.
    """
    lines = [list(header), *[list(map(str, row)) for row in rows]]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ['-' * width for width in widths])
    return '\n'.join(
        '| ' + ' | '.join(c.ljust(w) for c, w in zip(line, widths)) + ' |' for line in lines
    )
