"""What mixed precision must not round, and what it may."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor


def _is_autocast(x: Tensor) -> bool:
    # not is_autocast_available, which torch.compile cannot follow
    kind = x.device.type
    return kind in ('cpu', 'cuda') and torch.is_autocast_enabled(kind)


def lowered(x: Tensor) -> Tensor:
    """A tensor in the type of the autocast region around, or as it is outside of one."""
    return x.to(torch.get_autocast_dtype(x.device.type)) if _is_autocast(x) else x


def exact(x: Tensor) -> AbstractContextManager:
    """Region without autocast on the device of a tensor."""
    return torch.autocast(x.device.type, enabled=False) if _is_autocast(x) else nullcontext()


def as_float(x: Tensor) -> Tensor:
    """Half precision as float32, others as they are."""
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
    """:func:`torch.nn.functional.embedding` whose gradient is summed in float32.

    A row may be looked up by all pixels of an image, and half precision loses small addends.

    Args:
        rows (Tensor): (R, D), float.
        index (Tensor): Any shape, int64, 0..R-1.

    Returns:
        Tensor: Shape of ``index`` and (D, ), dtype of ``rows``.
    """
    if rows.dtype.itemsize > 2 or not torch.is_grad_enabled():
        return F.embedding(index, rows)
    return _Lookup.apply(rows, index)
