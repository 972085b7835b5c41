"""LPIPS with backbone weights from a file."""

import os
from collections.abc import Sequence

import numpy as np
import torch

from slnp_mm.checkpoint import read_checkpoint

from ...errors import SLNPError
from .base import Scorer


class LPIPSDistance(Scorer):
    """Mean LPIPS (AlexNet) over pairs of images.

    Source:
        reference: Zhang et al., arXiv:1801.03924; linear layers from the ``lpips`` package,
            backbone from torchvision's AlexNet.

    Args:
        weights (str): torchvision's ``alexnet-owt-7be5be79.pth``.

    Raises:
        SLNPError: If the file is missing or holds other weights.
    """

    def __init__(self, weights: str) -> None:
        import lpips

        if not os.path.isfile(weights):
            raise SLNPError(
                f"AlexNet weights {weights} do not exist: put torchvision's "
                'alexnet-owt-7be5be79.pth there, or give `scorer` instead of `lpips_weights`.'
            )
        net = lpips.LPIPS(net='alex', pnet_rand=True, verbose=False)
        try:
            state = read_checkpoint(weights)
            own = {k: state[f'features.{k.split(".", 1)[1]}'] for k in net.net.state_dict()}
            net.net.load_state_dict(own)
        except (KeyError, RuntimeError) as error:
            raise SLNPError(
                f"Expected torchvision's AlexNet in {weights}, got "
                f'something else ({str(error)[:120]}).'
            ) from error
        super().__init__(net, weights)

    @torch.no_grad()
    def mean_distance(self, images: Sequence[np.ndarray]) -> float:
        """Mean, >= 0, over all pairs of K >= 2 images, (H, W, 3) uint8 BGR."""
        batch = torch.from_numpy(np.stack(images)[..., ::-1].copy())
        batch = batch.permute(0, 3, 1, 2).float().to(self.device)
        batch = batch / 127.5 - 1
        first, second = torch.triu_indices(len(batch), len(batch), 1)
        return float(self.net(batch[first], batch[second]).mean())

    def describe(self) -> dict[str, object]:
        """See :class:`Scorer`."""
        return dict(network='LPIPS AlexNet', **super().describe())
