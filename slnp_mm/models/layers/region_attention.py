"""Attention of image sub-regions over label instances."""

import torch
from torch import Tensor

from .precision import as_float, exact


def attention_weights(regions: Tensor, instances: Tensor, valid: Tensor) -> Tensor:
    r"""Attention weights of each sub-region over the instances.

    .. math::
        w_{j,i} = \frac{\exp(s_{j,i})}{\sum_{i=1}^T \exp(s_{j,i})}, \quad
        s_{j,i} = (V_{region}^j)^T v'_i

    Source:
        paper: SLNP-GAN, Eq. (10), (11) and (14).

    Args:
        regions (Tensor): ``V_region``, (B, N, D), float.
        instances (Tensor): ``v'``, (B, T, D), float.
        valid (Tensor): Whether a slot holds an instance, (B, T), bool.

    Returns:
        Tensor: (B, N, T), float32 or float64; rows sum to 1 over the valid instances, or are zero
        for an image without any.
    """
    some = valid.any(1, keepdim=True)
    with exact(regions):
        scores = torch.bmm(as_float(regions), as_float(instances).transpose(1, 2))  # Eq. (11)
        # no mask for an image without instances: the softmax of a row of -inf is NaN
        scores = scores.masked_fill((~valid & some)[:, None], float('-inf'))
        return torch.softmax(scores, dim=-1) * some[:, None]  # Eq. (14)


def attend(weights: Tensor, instances: Tensor) -> Tensor:
    r"""Context vector of each sub-region.

    .. math:: V_{context}^j = \sum_{i=1}^T w_{j,i} v'_i

    Source:
        paper: SLNP-GAN, Eq. (12) and (13).

    Args:
        weights (Tensor): :func:`attention_weights`, (B, N, T).
        instances (Tensor): ``v'``, (B, T, D), float.

    Returns:
        Tensor: ``V_context``, (B, N, D), dtype of ``instances``.
    """
    with exact(instances):
        return torch.bmm(weights, as_float(instances)).to(instances.dtype)


def instance_context(context: Tensor, cover: Tensor) -> Tensor:
    """Mean context over the sub-regions that each instance covers.

    Source:
        paper: SLNP-GAN, 1.2.2, ``V_context^i`` before Eq. (15).
        ours: one pixel is enough for a sub-region to count as covered.

    Args:
        context (Tensor): ``V_context``, (B, N, D), float.
        cover (Tensor): Whether instance i covers sub-region j, (B, T, N), bool.

    Returns:
        Tensor: ``V_context^i``, (B, T, D); zero for an instance that covers nothing.
    """
    weights = cover.to(context.dtype)
    return torch.bmm(weights, context) / weights.sum(-1, keepdim=True).clamp(min=1)
