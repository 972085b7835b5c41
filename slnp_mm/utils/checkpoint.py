"""Let mmengine's checkpoints load with ``weights_only`` left on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_STATISTICS = ('current', 'max', 'mean', 'min')
_NUMBER_TYPES = ('?', 'b', 'B', 'h', 'H', 'i', 'I', 'l', 'L', 'e', 'f', 'd')


def history_statistic(owner: type, name: str) -> Callable:
    """Look up one of the statistics of :class:`HistoryBuffer`.

    It stands in for ``getattr`` while a checkpoint is read: a pickled
    buffer names its four statistics as ``getattr(HistoryBuffer, 'mean')``,
    and allowing the real ``getattr`` would let a file reach anything.

    Args:
        owner (type): Must be :class:`HistoryBuffer` itself.
        name (str): One of 'current', 'max', 'mean', 'min'.

    Returns:
        Callable: The method.

    Raises:
        ValueError: If the checkpoint asks for any other attribute.
    """
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise ValueError(
            'a checkpoint may look up only the statistics '
            f'{", ".join(_STATISTICS)} of HistoryBuffer, but it asks for '
            f'{name!r} of {owner!r}; it is not loaded'
        )
    return getattr(HistoryBuffer, name)


def checkpoint_globals() -> list:
    """List what mmengine 0.10 checkpoints hold besides tensors.

    A checkpoint's ``message_hub`` has one :class:`HistoryBuffer` for each
    logged scalar; a buffer has two numpy arrays, its numbers and their
    counts. Best scores and palettes are numpy numbers and arrays. Every
    entry only holds or rebuilds plain numbers or text; arrays of Python
    objects stay forbidden.

    Source:
        reference: mmengine 0.10.7, ``runner/runner.py``
            (``save_checkpoint``) and ``logging/history_buffer.py``,
            Apache-2.0.
        ours: the list; mmengine brings none, and torch >= 2.6 loads with
            ``weights_only=True`` by default.

    Returns:
        list: Classes and functions, or pairs of one and the name under
        which a checkpoint mentions it. numpy 1 and numpy 2 write different
        names for the same function, so both are given.
    """
    rebuild = np.zeros(1).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    entries: list = [HistoryBuffer, np.ndarray, np.dtype]
    entries.append((history_statistic, 'builtins.getattr'))
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        entries.append((rebuild, f'{module}._reconstruct'))
        entries.append((scalar, f'{module}.scalar'))
    entries += [type(np.dtype(code)) for code in _NUMBER_TYPES]
    entries.append(type(np.dtype('U1')))
    return entries


def allow_checkpoint_globals() -> None:
    """Add :func:`checkpoint_globals` to torch's list of safe globals.

    Calling it again changes nothing. Loading stays strict for everything
    else: ``weights_only`` is never turned off.
    """
    torch.serialization.add_safe_globals(checkpoint_globals())
