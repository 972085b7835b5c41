"""Attention of image sub-regions over label instances."""

import torch
import torch.nn.functional as F
from torch import Tensor


def attention_weights(regions: Tensor, instances: Tensor, valid: Tensor) -> Tensor:
    r"""Weights of the instances for every sub-region.

    .. math::
        w_{j,i} = \frac{\exp(s_{j,i})}{\sum_{i=1}^T \exp(s_{j,i})}, \quad
        s_{j,i} = (V_{region}^j)^T v'_i

    Source:
        paper: SLNP-GAN, Eq. (10), (11) and (14).

    Args:
        regions (Tensor): ``V_region``, (B, N, D), float.
        instances (Tensor): ``v'``, (B, T, D), float.
        valid (Tensor): Which slots hold an instance, (B, T), bool.

    Returns:
        Tensor: (B, N, T), float, rows sum to 1 over the valid instances;
        all zero where an image has none.
    """
    scores = regions @ instances.transpose(1, 2)  # Eq. (11)
    scores = scores.masked_fill(~valid[:, None], float('-inf'))
    return torch.softmax(scores, dim=-1).nan_to_num(0.0)  # Eq. (14)


def attend(regions: Tensor, instances: Tensor, valid: Tensor) -> Tensor:
    r"""Context vector of every sub-region.

    .. math:: V_{context}^j = \sum_{i=1}^T w_{j,i} v'_i

    Source:
        paper: SLNP-GAN, Eq. (12) and (13).

    Args:
        regions (Tensor): ``V_region``, (B, N, D), float.
        instances (Tensor): ``v'``, (B, T, D), float.
        valid (Tensor): Which slots hold an instance, (B, T), bool.

    Returns:
        Tensor: ``V_context``, (B, N, D); zero where an image has no
        instance.
    """
    some = valid.any(1)
    mask = valid | ~some[:, None]
    context = F.scaled_dot_product_attention(
        regions, instances, instances, attn_mask=mask[:, None], scale=1.0
    )
    return context * some[:, None, None]


def instance_context(context: Tensor, cover: Tensor) -> Tensor:
    """Mean context of the sub-regions that each instance covers.

    Source:
        paper: SLNP-GAN, 1.2.2, ``V_context^i`` before Eq. (15).
        ours: a sub-region counts as covered from one pixel on.

    Args:
        context (Tensor): ``V_context``, (B, N, D), float.
        cover (Tensor): Whether instance i covers sub-region j, (B, T, N), bool.

    Returns:
        Tensor: ``V_context^i``, (B, T, D); zero for an instance that covers
        nothing.
    """
    weights = cover.to(context.dtype)
    return weights @ context / weights.sum(-1, keepdim=True).clamp(min=1)
