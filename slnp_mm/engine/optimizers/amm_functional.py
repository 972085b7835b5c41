r"""The arithmetic of one AMM step: single-tensor, foreach and fused.

With t the step, the paper's update

.. math:: P_t = \alpha P_{t-1} + \eta \hat m_t / \sqrt{\hat v_t + \delta}

is computed as ``alpha * P + step_size * m / sqrt(v + offset)`` with
``step_size = eta * sqrt(1 - beta2^t) / (1 - beta1^t)`` and ``offset =
delta * (1 - beta2^t)``: the same number, without a pass over memory for
either bias correction.

Source:
    paper: SLNP-GAN, section 1.4, table 1 and Eqs. (21), (22).
    ours: the folding of the bias corrections into two scalars.
"""

import functools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim.optimizer import (
    Optimizer,
    _default_to_fused_or_foreach,
    _disable_dynamo_if_unsupported,
)

from .amm_native import ENTRY_POINTS, kernel_takes, run_kernel

Number = float | Tensor
LOW_PRECISION = (torch.float16, torch.bfloat16)


def bias_scalars(
    step: float, beta1: float, beta2: float, lr: float, delta: float
) -> tuple[float, float]:
    """Fold both bias corrections into two plain numbers.

    Args:
        step (float): Step t, counted from 1.
        beta1 (float): Decay rate of m, no unit, [0, 1).
        beta2 (float): Decay rate of v, no unit, [0, 1).
        lr (float): Rate eta, no unit, >= 0.
        delta (float): Constant inside the root, unit of squared gradients.

    Returns:
        Tuple[float, float]: ``step_size`` and ``offset``.
    """
    correction1 = 1 - beta1**step
    correction2 = 1 - beta2**step
    return lr * math.sqrt(correction2) / correction1, delta * correction2


def bias_tensors(
    step: Tensor, beta1: float, beta2: float, lr: Number, delta: float
) -> tuple[Tensor, Tensor]:
    """Fold both bias corrections into two tensors, without a sync.

    ``1 - beta^t`` is taken as ``-expm1(t log beta)``: for small t and a beta
    near 1 the plain difference would lose four of float32's seven digits.

    Args:
        step (Tensor): Steps, float, any shape.
        beta1 (float): Decay rate of m, no unit, [0, 1).
        beta2 (float): Decay rate of v, no unit, [0, 1).
        lr (Number): Rate eta, number or scalar tensor.
        delta (float): Constant inside the root, unit of squared gradients.

    Returns:
        Tuple[Tensor, Tensor]: ``step_size`` and ``offset``, shaped as step.
    """
    log1 = math.log(beta1) if beta1 > 0 else -math.inf
    log2 = math.log(beta2) if beta2 > 0 else -math.inf
    correction1 = -torch.expm1(step * log1)
    correction2 = -torch.expm1(step * log2)
    return correction2.sqrt() * lr / correction1, correction2 * delta


def _real(tensors: Sequence[Tensor]) -> list[Tensor]:
    """View complex tensors as real ones; the others stay."""
    return [torch.view_as_real(t) if t.is_complex() else t for t in tensors]


def _widen(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copy half-precision tensors to float32; the others stay."""
    return [t.float() if t.dtype in LOW_PRECISION else t for t in tensors]


def _narrow_back(wide: Sequence[Tensor], kept: Sequence[Tensor]) -> None:
    """Write float32 copies back to the half-precision tensors."""
    pairs = [(w, k) for w, k in zip(wide, kept) if w is not k]
    if pairs:
        torch._foreach_copy_([k for _, k in pairs], [w for w, _ in pairs])


def _step_dtype(param: Tensor) -> torch.dtype:
    """Return the precision in which a parameter's scalars are computed."""
    wide = param.dtype in (torch.float64, torch.complex128)
    return torch.float64 if wide else torch.float32


def _update_one(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    momentum_buffer: Tensor,
    step_size: Number,
    offset: Number,
    *,
    beta1: float,
    beta2: float,
    alpha: float,
    decay: Number,
    differentiable: bool,
) -> None:
    """Update one real parameter and its state in place.

    All tensors have one shape and dtype. What autograd keeps for the way back
    must not be written to later, hence the copy if ``differentiable``.
    """
    if not isinstance(decay, float) or decay != 1.0:
        param.mul_(decay)
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    denominator = (exp_avg_sq + offset).sqrt_()
    momentum_buffer.mul_(alpha)
    if isinstance(step_size, Tensor):
        first = exp_avg.clone() if differentiable else exp_avg
        momentum_buffer.add_(first / denominator * step_size)
    else:
        momentum_buffer.addcdiv_(exp_avg, denominator, value=step_size)
    param.sub_(momentum_buffer)


def _single_tensor_amm(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    momentum_buffers: list[Tensor],
    state_steps: list[Tensor],
    *,
    beta1: float,
    beta2: float,
    lr: Number,
    delta: float,
    alpha: float,
    weight_decay: float,
    maximize: bool,
    capturable: bool,
    differentiable: bool,
) -> None:
    """Update the parameters one after another; see :func:`amm`."""
    on_tensors = capturable or differentiable or torch.compiler.is_compiling()
    decay = 1 - lr * weight_decay if weight_decay != 0 else 1.0
    for i, param in enumerate(params):
        step = state_steps[i]
        step += 1
        if on_tensors:
            scalars = bias_tensors(step.to(_step_dtype(param)), beta1, beta2, lr, delta)
        else:
            scalars = bias_scalars(step.item(), beta1, beta2, lr, delta)
        kept = _real((param, grads[i], exp_avgs[i], exp_avg_sqs[i], momentum_buffers[i]))
        work = _widen(kept)
        if maximize:
            work[1] = -work[1]
        _update_one(
            *work,
            *scalars,
            beta1=beta1,
            beta2=beta2,
            alpha=alpha,
            decay=decay,
            differentiable=differentiable,
        )
        if param.dtype in LOW_PRECISION:
            for index in (0, 2, 3, 4):
                kept[index].copy_(work[index])


def _count_up(steps: list[Tensor]) -> None:
    """Add one to each step counter."""
    if steps[0].is_cpu and not torch.compiler.is_compiling():
        # A ready-made tensor spares foreach's slow path one wrapping of the
        # number per counter.
        torch._foreach_add_(steps, torch.tensor(1.0), alpha=1.0)
    else:
        torch._foreach_add_(steps, 1)


def _foreach_group(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    momentum_buffers: list[Tensor],
    steps: list[Tensor],
    *,
    beta1: float,
    beta2: float,
    lr: Number,
    delta: float,
    alpha: float,
    weight_decay: float,
    maximize: bool,
    on_tensors: bool,
) -> None:
    """Update real parameters of one device and dtype; see :func:`amm`."""
    _count_up(steps)
    if maximize:
        grads = torch._foreach_neg(grads)
    if weight_decay != 0:
        torch._foreach_mul_(params, 1 - lr * weight_decay)
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
    torch._foreach_mul_(exp_avg_sqs, beta2)
    torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - beta2)
    del grads
    torch._foreach_mul_(momentum_buffers, alpha)
    if on_tensors:
        times = torch.stack([s.to(_step_dtype(params[0])) for s in steps])
        sizes, offsets = bias_tensors(times, beta1, beta2, lr, delta)
        denominators = torch._foreach_add(exp_avg_sqs, list(offsets.unbind()))
        torch._foreach_sqrt_(denominators)
        torch._foreach_div_(denominators, list(sizes.unbind()))
        torch._foreach_addcdiv_(momentum_buffers, exp_avgs, denominators)
    else:
        scalars = [bias_scalars(s.item(), beta1, beta2, lr, delta) for s in steps]
        denominators = torch._foreach_add(exp_avg_sqs, [offset for _, offset in scalars])
        torch._foreach_sqrt_(denominators)
        torch._foreach_addcdiv_(
            momentum_buffers,
            exp_avgs,
            denominators,
            [size for size, _ in scalars],
        )
    torch._foreach_sub_(params, momentum_buffers)


def _multi_tensor_amm(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    momentum_buffers: list[Tensor],
    state_steps: list[Tensor],
    *,
    capturable: bool,
    differentiable: bool,
    **options,
) -> None:
    """Update all parameters with foreach operations; see :func:`amm`.

    Raises:
        RuntimeError: If ``differentiable``; foreach has no autograd.
    """
    if differentiable:
        raise RuntimeError('AMM expected foreach or differentiable, not both.')
    on_tensors = capturable or torch.compiler.is_compiling()
    groups = Optimizer._group_tensors_by_device_and_dtype(
        [params, grads, exp_avgs, exp_avg_sqs, momentum_buffers, state_steps]
    )
    for columns, _ in groups.values():
        *tensors, steps = columns
        kept = [_real(column) for column in tensors]
        work = [_widen(column) for column in kept]
        _foreach_group(*work, list(steps), on_tensors=on_tensors, **options)
        for index in (0, 2, 3, 4):
            _narrow_back(work[index], kept[index])


@functools.cache
def _compiled_multi_tensor() -> Callable[..., None]:
    """Return the foreach update as one compiled function."""
    return torch.compile(_multi_tensor_amm, dynamic=False)


def _fused_cpu(
    columns: list[list[Tensor]],
    *,
    beta1: float,
    beta2: float,
    lr: Number,
    delta: float,
    alpha: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """Update CPU parameters with the C kernel where it takes them.

    ``columns`` holds the parameters, the gradients, the three state lists and
    the steps; for the rest see :func:`amm`. Half precision, odd strides and
    tensor subclasses go one by one.
    """
    lr = float(lr)
    rows = list(zip(*columns))
    taken = [kernel_takes(row[:5]) for row in rows]
    rest = [row for row, take in zip(rows, taken) if not take]
    for dtype in ENTRY_POINTS:
        part = [row for row, take in zip(rows, taken) if take and row[0].dtype == dtype]
        if not part:
            continue
        *tensors, steps = (list(column) for column in zip(*part))
        _count_up(steps)
        scalars = [bias_scalars(s.item(), beta1, beta2, lr, delta) for s in steps]
        run_kernel(
            *tensors,
            [size for size, _ in scalars],
            [offset for _, offset in scalars],
            beta1=beta1,
            beta2=beta2,
            alpha=alpha,
            decay=1 - lr * weight_decay,
            maximize=maximize,
        )
    if rest:
        _single_tensor_amm(
            *(list(column) for column in zip(*rest)),
            beta1=beta1,
            beta2=beta2,
            lr=lr,
            delta=delta,
            alpha=alpha,
            weight_decay=weight_decay,
            maximize=maximize,
            capturable=False,
            differentiable=False,
        )


def _fused_amm(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    momentum_buffers: list[Tensor],
    state_steps: list[Tensor],
    *,
    lr: Number,
    capturable: bool,
    differentiable: bool,
    **options,
) -> None:
    """Update with one pass over memory; see :func:`amm`.

    On the CPU this is the C kernel, elsewhere the compiled foreach update.
    """
    columns = (
        params,
        grads,
        exp_avgs,
        exp_avg_sqs,
        momentum_buffers,
        state_steps,
    )
    rows = list(zip(*columns))
    for device in dict.fromkeys(p.device for p in params):
        part = [row for row in rows if row[0].device == device]
        chosen = [list(column) for column in zip(*part)]
        if device.type == 'cpu':
            _fused_cpu(chosen, lr=lr, **options)
            continue
        # A number would be compiled in, and each new rate compiled anew.
        rate = (
            lr.to(device)
            if isinstance(lr, Tensor)
            else torch.full((), lr, device=device, dtype=torch.float32)
        )
        _compiled_multi_tensor()(*chosen, lr=rate, capturable=True, differentiable=False, **options)


@_disable_dynamo_if_unsupported(single_tensor_fn=_single_tensor_amm)
def amm(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    momentum_buffers: list[Tensor],
    state_steps: list[Tensor],
    *,
    foreach=None,
    fused=None,
    capturable: bool = False,
    differentiable: bool = False,
    maximize: bool = False,
    beta1: float,
    beta2: float,
    lr: Number,
    delta: float,
    momentum: float,
    weight_decay: float,
) -> None:
    """Do one AMM step on lists of tensors, in place.

    Args:
        params (list[Tensor]): Parameters.
        grads (list[Tensor]): Their gradients, of the same shapes, dtypes and
            devices; so are the next three.
        exp_avgs (list[Tensor]): m of table 1.
        exp_avg_sqs (list[Tensor]): v of table 1.
        momentum_buffers (list[Tensor]): P of table 1.
        state_steps (list[Tensor]): Step counters, scalar tensors.
        foreach (bool, optional): Whether to use foreach operations. If this
            and ``fused`` are None, chosen as ``torch.optim.Adam`` chooses.
        fused (bool, optional): Whether to use the fused path.
        capturable (bool): See :class:`AMM`.
        differentiable (bool): See :class:`AMM`.
        maximize (bool): See :class:`AMM`.
        beta1 (float): Decay rate of m, no unit, [0, 1).
        beta2 (float): Decay rate of v, no unit, [0, 1).
        lr (Number): Rate eta, no unit, number or scalar tensor.
        delta (float): Constant inside the root, unit of squared gradients.
        momentum (float): Weight alpha of the last update, no unit, [0, 1).
        weight_decay (float): Decoupled decay, no unit.
    """
    if not params:
        return
    if foreach is None and fused is None:
        _, foreach = _default_to_fused_or_foreach(params, differentiable, use_fused=False)
        # foreach needs capturable for a tensor rate.
        foreach = foreach and not (isinstance(lr, Tensor) and not capturable)
    compiling = torch.compiler.is_compiling()
    if isinstance(lr, Tensor):
        lr = lr.squeeze()
        if not (capturable or differentiable or compiling or fused):
            lr = lr.item()
    if fused:
        # A compiled step is fused by its compiler.
        update = _multi_tensor_amm if compiling else _fused_amm
    else:
        update = _multi_tensor_amm if foreach else _single_tensor_amm
    update(
        params,
        grads,
        exp_avgs,
        exp_avg_sqs,
        momentum_buffers,
        state_steps,
        beta1=beta1,
        beta2=beta2,
        lr=lr,
        delta=delta,
        alpha=momentum,
        weight_decay=weight_decay,
        maximize=maximize,
        capturable=capturable,
        differentiable=differentiable,
    )
