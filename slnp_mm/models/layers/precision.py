"""Helpers for mixed precision."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor


def _is_autocast(x: Tensor) -> bool:
    kind = x.device.type
    return kind in ('cpu', 'cuda') and torch.is_autocast_enabled(kind)


def lowered(x: Tensor) -> Tensor:
    """Cast to the autocast dtype if autocast is enabled."""
    return x.to(torch.get_autocast_dtype(x.device.type)) if _is_autocast(x) else x


def exact(x: Tensor) -> AbstractContextManager:
    """Disable autocast on the device of a tensor."""
    return torch.autocast(x.device.type, enabled=False) if _is_autocast(x) else nullcontext()


def as_float(x: Tensor) -> Tensor:
    """Cast half precision to float32, keep other dtypes."""
    return x.float() if x.dtype.itemsize < 4 else x


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.num_rows = len(rows)
        return F.embedding(index, rows)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        summed = torch.ops.aten.embedding_dense_backward(
            as_float(grad), index, ctx.num_rows, -1, False
        )
        return summed.to(grad.dtype), None


def lookup(rows: Tensor, index: Tensor) -> Tensor:
    """:func:`torch.nn.functional.embedding` with gradients accumulated in float32.

    All pixels of an image may look up the same row, and half precision drops small addends.
    """
    if rows.dtype.itemsize > 2 or not torch.is_grad_enabled():
        return F.embedding(index, rows)
    return _Lookup.apply(rows, index)
