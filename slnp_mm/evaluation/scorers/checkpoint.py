"""Find, download and load a scorer's weights."""

import os
import re
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import nn

from slnp_mm.checkpoint import read_checkpoint

from ...errors import SLNPError


def published_weights(metafile: str, model: str) -> tuple[str, str]:
    """URL and leading SHA-256 digits of an mmseg model, from mmseg's own metafile."""
    from mmengine.fileio import load
    from mmengine.utils import get_installed_path

    root = get_installed_path('mmsegmentation')
    path = os.path.join(root, '.mim', 'configs', metafile)
    for entry in load(path)['Models']:
        if entry['Name'] == model:
            url = entry['Weights']
            return url, re.search(r'-([0-9a-f]{8,})\.pth$', url).group(1)
    raise SLNPError(f'Expected a model of {path}, got {model!r}, which it does not list.')


def fetch(url: str, hash_prefix: str | None = None) -> str:
    """Download a file once into torch's checkpoint cache; return its path there.

    Args:
        url (str): ``http://``, ``https://`` or ``file://``.
        hash_prefix (str, optional): Leading hex digits of its SHA-256.

    Raises:
        SLNPError: If the download fails (names the path to put the file at) or the hash differs.
    """
    folder = os.path.join(torch.hub.get_dir(), 'checkpoints')
    path = os.path.join(folder, os.path.basename(urlparse(url).path))
    if os.path.isfile(path):
        return path
    os.makedirs(folder, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, path, hash_prefix)
    except RuntimeError as error:
        raise SLNPError(
            f'Expected {url} to have a SHA-256 starting with {hash_prefix}, '
            f'got another file: {error}.'
        ) from error
    except OSError as error:
        raise SLNPError(
            f'Could not download the scorer from {url} ({error}): put the file at {path} by hand, '
            'or name a local file as the scorer checkpoint.'
        ) from error
    return path


def resolve_checkpoint(config: str, own: dict, checkpoint: str | None) -> str:
    """Local file with the scorer's weights.

    Args:
        config (str): Scorer config path, for error texts.
        own (dict): Its ``scorer`` dict. Its ``published`` (``metafile`` and ``model``) or its
            ``checkpoint``, by default what ``tools/train_scorer.py`` writes, are the weights.
        checkpoint (str, optional): The caller's choice: a file or URL.

    Raises:
        SLNPError: If no weights are named, or the file is missing; names the command that trains
            it.
    """
    if checkpoint is None and 'published' in own:
        return fetch(*published_weights(**own['published']))
    path = checkpoint or own.get('checkpoint')
    if path is None and own:
        path = f'work_dirs/{Path(config).stem}/scorer.pth'
    if path is None:
        raise SLNPError(
            f'Expected a scorer checkpoint, got none: {config} '
            'names no weights, so give `checkpoint`.'
        )
    if urlparse(path).scheme in ('http', 'https', 'file'):
        return fetch(path)
    if not os.path.isfile(path):
        hint = f'train it with `python tools/train_scorer.py {config}`'
        if 'published' in own:
            hint = 'check the path'
        raise SLNPError(f'Scorer checkpoint {path} does not exist: {hint}.')
    return path


def load_weights(model: nn.Module, path: str) -> None:
    """Load weights in mmengine's, mmseg's or plain layout, without those of auxiliary heads.

    Raises:
        SLNPError: If the file is damaged, holds more than plain data, or does not match.
    """
    state = read_checkpoint(path)
    try:
        state = {k.removeprefix('module.'): v for k, v in state.get('state_dict', state).items()}
        model.load_state_dict({k: v for k, v in state.items() if 'auxiliary_head.' not in k})
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = ' '.join(str(error).split())[:240]
        raise SLNPError(f'The weights in {path} are of another scorer: {reason}') from error
