"""The gradient penalty of the discriminators."""

import torch
from mmagic.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class SLNPR1Loss(nn.Module):
    r"""R1: squared gradient of the decisions on real images.

    .. math::
        L_{R1} = \frac{w n}{2}\, E \frac{1}{P}
            \Big\| \nabla_x \sum_{p=1}^{P} D_p(L, x) \Big\|^2

    with the ``P`` logits D_p of the decision map. The penalty is taken on
    every n-th iteration only (n = ``interval``), n times as strong.

    Source:
        paper: nothing; an addition to Eq. (18), off by default.
        reference: R1, Mescheder et al., arXiv:1801.04406, Eq. (9); every
            n-th iteration, StyleGAN2, arXiv:1912.04958, App. B. The
            optimizer's rates are left as they are.
        ours: a decision map in place of one number. Where the decisions see
            different pixels, the formula is the mean of their squared
            gradients, so that a weight means the same at every stage.

    Args:
        loss_weight (float): ``w``, no unit, >= 0. Defaults to 10.0.
        interval (int): ``n``, iterations, >= 1. Defaults to 16.

    Raises:
        ValueError: If ``loss_weight`` or ``interval`` is out of range.
    """

    def __init__(self, loss_weight: float = 10.0, interval: int = 16) -> None:
        super().__init__()
        if loss_weight < 0:
            raise ValueError(f'loss_weight must be >= 0, but got {loss_weight}.')
        if interval < 1:
            raise ValueError(f'interval must be >= 1, but got {interval}.')
        self.loss_weight = loss_weight
        self.interval = interval

    def is_due(self, iteration: int) -> bool:
        """Whether the penalty is taken.

        Args:
            iteration (int): Number of iterations done, >= 0.

        Returns:
            bool: True on the first and then on every ``interval``-th one.
        """
        return iteration % self.interval == 0

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        """Compute the penalty of one stage.

        Args:
            logits (Tensor): Decision map of real images, (B, 1, h, w),
                float, with the graph that leads to ``images``.
            images (Tensor): What the discriminator saw, (B, 3, H, W), float,
                [-1, 1], requiring grad.

        Returns:
            Tensor: Scalar, shape (), dtype of ``images``, >= 0, no unit;
            differentiable in the discriminator's weights.
        """
        (grad,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        positions = logits[0].numel()
        squares = grad.flatten(1).square().sum(1) / positions
        return 0.5 * self.loss_weight * self.interval * squares.mean()
