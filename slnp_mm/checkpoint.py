"""Load mmengine's checkpoints with ``weights_only`` on, and check that they fit."""

from __future__ import annotations

import ast
import logging
import math
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer, print_log
from torch import nn

from .errors import SLNPError

_STATISTICS = ('current', 'max', 'mean', 'min')
# node types in a dumped config
_PLAIN = 'Module Assign Name Store Load Constant Call keyword Dict List Tuple Set UnaryOp USub'
# keys of a GAN's config, past and present, for training only
_TRAINING = (
    'discriminator gan_loss matching_weight ema_config prior_checkpoint '
    'feature_loss augment prior_command discriminator_steps'
)


def history_statistic(owner: type, name: str) -> Callable:
    """Replace ``getattr`` for :class:`HistoryBuffer` while a checkpoint is read.

    A pickled buffer refers to its four statistics as ``getattr(HistoryBuffer, 'mean')``; the real
    ``getattr`` would let a file reach anything.
    """
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise SLNPError(
            f'a checkpoint may look up only the statistics {", ".join(_STATISTICS)} of '
            f'HistoryBuffer, but it asks for {name!r} of {owner!r}; it is not loaded'
        )
    return getattr(HistoryBuffer, name)


def allow_checkpoint_globals() -> None:
    """Allow what mmengine 0.10 checkpoints hold besides tensors; ``weights_only`` stays on.

    A checkpoint's ``message_hub`` has one :class:`HistoryBuffer` per logged scalar, with two numpy
    arrays, numbers and counts. Best scores and palettes are numpy numbers and arrays. Each entry
    only stores or rebuilds plain numbers or text; arrays of Python objects stay forbidden. numpy 1
    and numpy 2 name the same function differently, so both names are allowed.

    Source:
        reference: mmengine 0.10.7, ``runner/runner.py`` (``save_checkpoint``) and
            ``logging/history_buffer.py``, Apache-2.0.
        ours: the list; mmengine has none, and torch >= 2.6 loads with ``weights_only=True`` by
            default.
    """
    rebuild = np.zeros(1).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    entries = [HistoryBuffer, np.ndarray, np.dtype, (history_statistic, 'builtins.getattr')]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        entries.append((rebuild, f'{module}._reconstruct'))
        entries.append((scalar, f'{module}.scalar'))
    entries += [type(np.dtype(code)) for code in '?bBhHiIlLefdU']
    torch.serialization.add_safe_globals(entries)


def last_checkpoint(work_dir: str) -> str | None:
    """Path of a work dir's last intact checkpoint; None if it has no checkpoint.

    ``last_checkpoint`` holds the path at training time, but the folder may have moved. If that
    checkpoint is damaged, or the file is incomplete, the one before is used.

    Raises:
        SLNPError: If there are checkpoints, but none is intact.
    """
    note = Path(work_dir, 'last_checkpoint')
    name = os.path.basename(note.read_text().strip()) if note.is_file() else ''
    newest = _number(Path(name)) if name else math.inf
    files = [path for path in Path(work_dir).glob('*.pth') if 0 <= _number(path) < newest]
    files.sort(key=_number, reverse=True)
    if name and (Path(work_dir, name).is_file() or not files):
        files.insert(0, Path(work_dir, name))

    problem = None
    for path in files:
        try:
            if path.is_file():  # else the caller reports it
                read_checkpoint(path, 'meta')
        except SLNPError as error:
            problem = problem or error
            continue
        if problem:
            print_log(f'{problem}; using {path}', logger='current', level=logging.WARNING)
        return str(path)
    if problem:
        raise problem
    return None


def _number(path: Path) -> int:
    """Iteration or epoch of a checkpoint; -1 for other files."""
    found = re.fullmatch(r'(?:iter|epoch)_(\d+)\.pth', path.name)
    return int(found[1]) if found else -1


def read_checkpoint(path: str | os.PathLike, device: str = 'cpu') -> dict:
    """Read a checkpoint of mmengine, or a state dict, with ``weights_only`` on.

    Args:
        path (str or PathLike): The file.
        device (str): Where to load the weights; 'meta' reads names and shapes only.

    Raises:
        SLNPError: If the file is damaged or holds more than plain data.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).partition('\n')[0].split('. ')[0] or 'it is empty'
        raise SLNPError(
            f'{path} cannot be read as a checkpoint ({reason}); it is damaged, or holds code '
            'besides weights, which is not run'
        ) from error


def check_checkpoint(path: str | os.PathLike, model: nn.Module, whole: bool = True) -> None:
    """Check that a checkpoint is readable and fits, before it is loaded; reads no weights.

    mmengine only warns where shapes differ, and continues with the untrained weights. ``whole``
    requires every entry of the model; otherwise one is enough, as when training starts from a part.

    Raises:
        SLNPError: If the file is damaged, holds more than plain data, or does not fit.
    """
    check_state(read_checkpoint(path, 'meta'), model, path, whole)


def check_state(
    stored: dict, model: nn.Module, path: str | os.PathLike, whole: bool = True
) -> None:
    """Check what :func:`read_checkpoint` returned; see :func:`check_checkpoint`."""
    classes = ((stored.get('meta') or {}).get('dataset_meta') or {}).get('classes')
    hint = f'its data set has {len(classes)} classes' if classes else 'another number of classes?'
    stored = stored.get('state_dict', stored)
    own = getattr(model, 'module', model).state_dict()
    for key, value in own.items():
        if key in stored and stored[key].shape != value.shape:
            raise SLNPError(
                f'{path} does not fit this config: {key} is {tuple(stored[key].shape)} in the '
                f'file, but {tuple(value.shape)} here; use the config it was trained with '
                f'({hint}), or train again'
            )
    missing = [key for key in own if key not in stored]
    if missing and (whole or len(missing) == len(own)):
        raise SLNPError(
            f'{path} does not fit this config: it lacks {len(missing)} of {len(own)} entries of '
            f'the model (first: {missing[0]}); use the config it was trained with'
        )


def check_classes(stored: dict, metainfo: dict, path: str | os.PathLike) -> None:
    """Check that a checkpoint lists classes and colors in the order of a data set's ``metainfo``.

    New class names or colors only cause a warning. A checkpoint without these lists is not checked.

    Raises:
        SLNPError: If classes or colors have another order, or the lists differ in length.
    """
    trained = (stored.get('meta') or {}).get('dataset_meta') or {}
    for key in ('classes', 'palette'):
        if trained.get(key) is None or metainfo.get(key) is None:
            continue
        old, new = (np.asarray(lists[key]).tolist() for lists in (trained, metainfo))
        pairs = [(i, a, b) for i, (a, b) in enumerate(zip(old, new)) if a != b]
        if not pairs and len(old) == len(new):
            continue
        places = [f'{i} is {a} in the checkpoint, {b} in the config' for i, a, b in pairs[:8]]
        places += [f'{len(pairs) - 8} more differ'] * (len(pairs) > 8)
        text = f'{path} was trained with different {key} than the config has'
        if len(old) != len(new):
            raise SLNPError(f'{text}: {len(old)}, not {len(new)}; use its own config')
        text += f' ({"; ".join(places)})'
        # two palettes may share some colors by chance
        moved = sorted(old) == sorted(new) if key == 'palette' else any(b in old for *_, b in pairs)
        if moved:
            raise SLNPError(
                f'{text}: classes would be mixed up; list metainfo.{key} in the order '
                'of the checkpoint, or train again'
            )
        print_log(
            f'{text}: treated as renamed classes; if they are different classes, train again'
            if key == 'classes'
            else f'{text}: color label maps are read by the colors of the config',
            logger='current',
            level=logging.WARNING,
        )


def read_config(path: str | os.PathLike) -> Config:
    """Read the training config from a checkpoint of mmengine or ``tools/publish.py``.

    mmengine stores it as Python text, which loading runs; so it may only assign plain values, as
    mmengine writes it.

    Raises:
        SLNPError: If there is none, or its text does more than assign values.
    """
    text = (read_checkpoint(path, 'meta').get('meta') or {}).get('cfg')
    if not isinstance(text, str):
        raise SLNPError(f'{path} holds no config: give the one it was trained with')
    for node in ast.walk(ast.parse(text)):
        call = isinstance(node, ast.Call) and getattr(node.func, 'id', None) != 'dict'
        if call or type(node).__name__ not in _PLAIN.split():
            raise SLNPError(
                f'the config in {path} holds code besides values (line '
                f'{getattr(node, "lineno", 1)}), which is not run: give the config it was '
                'trained with'
            )
    return Config.fromstring(text, '.py')


def sampling_config(model: dict) -> dict:
    """A model's config without the keys that only GAN training needs."""
    return {key: value for key, value in model.items() if key not in _TRAINING.split()}


def sampling_state(state: dict) -> dict:
    """Weights for the model of :func:`sampling_config`, from an :class:`SLNPGAN` state dict.

    They are the noise prior and, as ``generator``, the averaged generator if there is one.
    """
    averaged = 'generator_ema.module.'
    source = averaged if any(key.startswith(averaged) for key in state) else 'generator.'
    kept = {key: value for key, value in state.items() if key.startswith('noise_prior.')}
    for key, value in state.items():
        if key.startswith(source):
            kept[f'generator.{key.removeprefix(source)}'] = value
    return kept
