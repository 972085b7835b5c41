"""Reading a trained noise prior into a model."""

import os.path as osp

from torch import nn

from slnp_mm.checkpoint import last_checkpoint, read_checkpoint


def load_prior(prior: nn.Module, source: str | None, command: str) -> None:
    """Read a trained noise prior.

    Args:
        prior (nn.Module): :class:`NoisePriorVAE` that takes the weights.
        source (str, optional): Checkpoint file, or a work directory whose last checkpoint is taken.
        command (str): Command that makes it, for the error.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        SLNPError: If the file is damaged.
        ValueError: If it is of another architecture.
    """
    path = source
    if path and osp.isdir(path):
        path = last_checkpoint(path)
    if not path or not osp.isfile(path):
        raise FileNotFoundError(
            f'Expected a trained noise prior at {source!r}, but there is '
            f'none; make it with "{command}", or train without it by '
            '--cfg-options model.noise=random.'
        )
    stored = read_checkpoint(path)
    stored = stored.get('state_dict', stored)
    own = prior.state_dict()
    differing = [key for key in own if key not in stored or stored[key].shape != own[key].shape]
    if differing:
        raise ValueError(
            f'Expected a noise prior of the architecture in this config, '
            f'but {path} differs in {len(differing)} entries (first: '
            f'{differing[0]}); make a fitting one with "{command}".'
        )
    prior.load_state_dict({key: stored[key] for key in own})
