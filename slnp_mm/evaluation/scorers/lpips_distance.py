"""LPIPS with the backbone's weights from a file."""

import os
from collections.abc import Sequence

import numpy as np
import torch

from slnp_mm.checkpoint import read_checkpoint

from .deeplabv3 import file_sha256


class LPIPSDistance:
    """Mean LPIPS (AlexNet) over pairs of images.

    Source:
        reference: Zhang et al., arXiv:1801.03924; the ``lpips`` package
            brings the linear layers, torchvision's AlexNet the backbone.

    Args:
        weights (str): torchvision's ``alexnet-owt-7be5be79.pth``.
        device (str): Torch device. Defaults to 'cpu'.

    Raises:
        FileNotFoundError: If the file is missing; says where to put it.
        ValueError: If it holds other weights.
    """

    def __init__(self, weights: str, device: str = 'cpu') -> None:
        import lpips

        if not os.path.isfile(weights):
            raise FileNotFoundError(
                f"AlexNet weights {weights} do not exist: put torchvision's "
                'alexnet-owt-7be5be79.pth there, or leave `lpips_weights` '
                'out to use scorer features.'
            )
        self.weights = weights
        self.net = lpips.LPIPS(net='alex', pnet_rand=True, verbose=False)
        try:
            state = read_checkpoint(weights)
            own = {k: state[f'features.{k.split(".", 1)[1]}'] for k in self.net.net.state_dict()}
            self.net.net.load_state_dict(own)
        except (KeyError, RuntimeError) as error:
            raise ValueError(
                f"Expected torchvision's AlexNet in {weights}, got "
                f'something else ({str(error)[:120]}).'
            ) from error
        self.device = torch.device(device)
        self.net.to(self.device).eval()

    def to(self, device: torch.device) -> 'LPIPSDistance':
        """Move the network; returns itself."""
        self.device = torch.device(device)
        self.net.to(self.device)
        return self

    @torch.no_grad()
    def mean_distance(self, images: Sequence[np.ndarray]) -> float:
        """Mean over all pairs of K images.

        Args:
            images (Sequence[np.ndarray]): (H, W, 3) uint8 BGR, K >= 2.

        Returns:
            float: >= 0.
        """
        batch = torch.from_numpy(np.stack(images)[..., ::-1].copy())
        batch = batch.permute(0, 3, 1, 2).float().to(self.device)
        batch = batch / 127.5 - 1
        first, second = torch.triu_indices(len(batch), len(batch), 1)
        return float(self.net(batch[first], batch[second]).mean())

    def describe(self) -> dict[str, object]:
        """Protocol entries."""
        return dict(
            network='LPIPS AlexNet',
            checkpoint=os.path.basename(self.weights),
            sha256=file_sha256(self.weights),
        )
