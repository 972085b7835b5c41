"""Base class of all scorers."""

import hashlib
import os

import torch
from torch import nn


def file_sha256(path: str) -> str:
    """SHA-256 of a file, 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


class Scorer:
    """A network that scores images, and the file its weights come from."""

    def __init__(self, net: nn.Module, weights: str) -> None:
        self.net = net.eval()
        self.weights = weights
        self.device = torch.device('cpu')

    def to(self, device: torch.device) -> 'Scorer':
        """Move the network; return the scorer itself."""
        self.device = torch.device(device)
        self.net.to(self.device)
        return self

    def describe(self) -> dict[str, object]:
        """Protocol entries that must be equal for scores to be comparable."""
        return dict(checkpoint=os.path.basename(self.weights), sha256=file_sha256(self.weights))
