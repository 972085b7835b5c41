r"""AMM, Adam with momentum on its update.

With t the step, the paper's update

.. math:: P_t = \alpha P_{t-1} + \eta \hat m_t / \sqrt{\hat v_t + \delta}

is computed as ``momentum * P + step_size * m / sqrt(v + offset)`` with ``step_size = eta *
sqrt(1 - beta2^t) / (1 - beta1^t)`` and ``offset = delta * (1 - beta2^t)``, which is equal but needs
no pass over memory for the bias corrections.

Source:
    paper: SLNP-GAN, section 1.4, table 1 and Eqs. (21), (22).
    ours: the folding of the bias corrections into two scalars.
"""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from mmagic.registry import OPTIMIZERS
from torch import Tensor
from torch.optim.optimizer import Optimizer, _get_scalar_dtype

from ...errors import SLNPError

FLAGS = dict(maximize=False, capturable=False)
DROPPED = ('foreach', 'fused', 'differentiable')  # flags in older checkpoints
STATE_KEYS = ('exp_avg', 'exp_avg_sq', 'momentum_buffer')
HALF = (torch.float16, torch.bfloat16)

# torch 2.11 renamed the check
HEALTH_CHECK = (
    '_accelerator_graph_capture_health_check'
    if hasattr(Optimizer, '_accelerator_graph_capture_health_check')
    else '_cuda_graph_capture_health_check'
)


def _check_number(name: str, value: Any, below: float = math.inf) -> None:
    """Check that a setting is a finite number in [0, below)."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not 0 <= value < below:
        span = '>= 0' if below == math.inf else f'in [0, {below})'
        raise SLNPError(f'AMM expected {name} to be a finite number {span}, but got {value!r}.')


def _check_group(group: dict[str, Any]) -> None:
    """Check the settings of one parameter group."""
    for name in FLAGS:
        if not isinstance(group[name], bool):
            raise SLNPError(f'AMM expected {name} to be True or False, but got {group[name]!r}.')

    lr = group['lr']
    if isinstance(lr, Tensor):
        if lr.numel() != 1 or not lr.is_floating_point():
            raise SLNPError(f'AMM: Tensor lr must be 1-element and real, but got {lr!r}.')
        lr = lr.item()
    _check_number('lr', lr)

    betas = group['betas']
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise SLNPError(f'AMM expected betas to be two numbers, but got {betas!r}.')
    for index, beta in enumerate(betas):
        _check_number(f'betas[{index}]', beta, below=1)
    _check_number('delta', group['delta'])
    _check_number('momentum', group['momentum'], below=1)
    _check_number('weight_decay', group['weight_decay'])


@OPTIMIZERS.register_module()
class AMM(Optimizer):
    r"""Adam with momentum on its update (AMM).

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t \\
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2) g_t^2 \\
        P_t &= \alpha P_{t-1} + \eta \,
            \frac{m_t / (1 - \beta_1^t)}
                 {\sqrt{v_t / (1 - \beta_2^t) + \delta}} \\
        \theta_t &= (1 - \eta\lambda)\, \theta_{t-1} - P_t

    with :math:`m_0 = v_0 = P_0 = 0`. With ``momentum=0`` this is Adam with :math:`\delta` inside
    the root. In a constant direction, steps grow to :math:`1 / (1 - \alpha)` times Adam's, 10 times
    with the default.

    The weight decay :math:`\lambda` is decoupled: it enters neither the moments nor :math:`P`, so
    momentum does not amplify it, and a step shrinks a parameter by ``lr * weight_decay``.

    All parameters of a group are updated with foreach operations, on the CPU too. The state of a
    parameter is ``step`` (a scalar, on the CPU unless ``capturable``) and three tensors of its
    shape, ``exp_avg``, ``exp_avg_sq`` and ``momentum_buffer``, one more than Adam. Half-precision
    parameters are updated in float32 and rounded once; their state is in half precision too.

    Source:
        paper: SLNP-GAN, section 1.4, table 1 and Eqs. (21), (22). Defaults from 2.1: betas, delta,
            alpha 0.9 and eta 1e-3; the GAN itself is trained with eta 1e-4 (generator) and 4e-4
            (discriminator).
        reference: arguments and state layout after ``torch.optim.Adam`` (PyTorch, BSD-3-Clause).
        ours: :math:`P_0 = 0`, since the "initial direction" of table 1 is Adam's; decoupled weight
            decay.

    Args:
        params (iterable): Parameters, named parameters or groups.
        lr (float or Tensor): Learning rate eta, no unit, >= 0; a one-element tensor is read from
            the device at every step unless ``capturable`` is set. Defaults to 1e-3.
        betas (tuple[float, float]): Decay rates of both moments, no unit, [0, 1).
            Defaults to (0.9, 0.999).
        delta (float): Constant inside the root, unit of squared gradients, >= 0; with 0, gradients
            that are 0 from the start give NaN. Defaults to 1e-8.
        momentum (float): Weight alpha of the last update, no unit, [0, 1). Defaults to 0.9.
        weight_decay (float): Decoupled decay lambda, no unit, >= 0. Defaults to 0.
        maximize (bool): Ascend instead of descend. Defaults to False.
        capturable (bool): Keep ``step`` on the parameter's device so that the update can be
            captured in a CUDA graph; if a scheduler changes ``lr``, pass it as a tensor on that
            device. A step then changes nothing where :attr:`found_inf` is true. Defaults to False.

    Raises:
        SLNPError: If a setting is out of range or of a wrong type.
    """

    found_inf: Tensor | None = None
    """Tensor, optional: Whether to skip a capturable step, shape (), bool, on the device of the
    parameters. The gradients may then be NaN; parameters and state keep their values."""

    def __init__(
        self,
        params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        delta: float = 1e-8,
        momentum: float = 0.9,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = dict(
            lr=lr,
            betas=betas,
            delta=delta,
            momentum=momentum,
            weight_decay=weight_decay,
            maximize=maximize,
            capturable=capturable,
        )
        _check_group(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Check the settings of a parameter group, then add it."""
        if isinstance(param_group, dict):  # else torch raises
            _check_group({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a state, also of older versions; move each ``step`` to its device."""
        super().__setstate__(state)

        for group in self.param_groups:
            for name in DROPPED:
                group.pop(name, None)
            for name, value in dict(FLAGS, weight_decay=0).items():
                group.setdefault(name, value)

            for param in group['params']:
                entry = self.state.get(param)
                if entry:
                    entry['step'] = torch.as_tensor(
                        entry['step'],
                        dtype=_get_scalar_dtype(),
                        device=param.device if group['capturable'] else 'cpu',
                    )

    def _init_group(self, group: dict[str, Any], *columns: list[Tensor]) -> None:
        """Append to columns: parameters with gradients, gradients, m, v, P and steps."""
        for param in group['params']:
            if param.grad is None:
                continue
            if param.grad.is_sparse:
                raise RuntimeError(
                    'AMM expected dense gradients, but got a sparse one: set sparse=False in the '
                    'layer that produces it, or use torch.optim.SparseAdam for its parameters.'
                )
            if param.is_complex():
                raise RuntimeError(
                    'AMM expected real parameters, but got a complex one: pass its real and '
                    'imaginary parts as one real parameter.'
                )

            # m = v = P = 0
            state = self.state[param]
            if len(state) == 0:
                device = param.device if group['capturable'] else 'cpu'
                state['step'] = torch.zeros((), dtype=_get_scalar_dtype(), device=device)
                for key in STATE_KEYS:
                    state[key] = torch.zeros_like(param, memory_format=torch.preserve_format)

            row = (param, param.grad, *(state[key] for key in STATE_KEYS), state['step'])
            for column, tensor in zip(columns, row):
                column.append(tensor)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform a single optimization step.

        Args:
            closure (Callable, optional): Reevaluates the model and returns the loss.
        """
        getattr(self, HEALTH_CHECK)()

        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()

        for group in self.param_groups:
            columns: list[list[Tensor]] = [[] for _ in range(6)]
            self._init_group(group, *columns)
            if columns[0]:
                _update_group(group, self.found_inf, *columns)

        return loss


def _update_group(group: dict[str, Any], found_inf: Tensor | None, *columns: list[Tensor]) -> None:
    """Update in place the parameters, m, v, P and steps that ``_init_group`` collected."""
    lr, (beta1, beta2) = group['lr'], group['betas']
    on_tensors = group['capturable']
    if isinstance(lr, Tensor):
        lr = lr.squeeze() if on_tensors else lr.item()
    keep = found_inf.logical_not() if on_tensors and found_inf is not None else None

    alike = Optimizer._group_tensors_by_device_and_dtype(list(columns))
    for (*own, steps), _ in alike.values():
        half = own[0][0].dtype in HALF
        wide = [[t.float() for t in column] for column in own] if half else own
        params, grads, exp_avgs, exp_avg_sqs, momentum_buffers = wide
        if group['maximize']:
            grads = torch._foreach_neg(grads)

        # a step to skip: gradients of 0, factors of 1
        factors, taken = [1 - lr * group['weight_decay'], beta1, beta2, group['momentum']], 1
        if keep is not None:
            one, zero = (flag.to(params[0].dtype) for flag in (keep, found_inf))  # or 0 and 1
            factors = [one * factor + zero for factor in factors]
            nothing = torch.zeros_like(zero)
            grads = [torch.where(keep, grad, nothing) for grad in grads]
            taken = [keep.to(steps[0].dtype)] * len(steps)
        decay, decay1, decay2, momentum = factors

        # t and the bias corrections
        torch._foreach_add_(steps, taken)
        times = torch.stack(steps)
        if on_tensors:
            times = times.to(params[0].dtype).clamp(min=1)  # 0 if the first step is skipped
            step_sizes, offsets = _fold_bias(times, lr, group)
            if keep is not None:
                offsets = torch.where(keep, offsets, math.inf)  # P + m / inf
            step_sizes, offsets = step_sizes.unbind(), offsets.unbind()
        else:
            step_sizes, offsets = zip(*(_fold_bias(t, lr, group) for t in times.tolist()))

        # decoupled decay
        if group['weight_decay'] != 0:
            torch._foreach_mul_(params, decay)

        # m and v
        if keep is None:
            torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
        else:
            torch._foreach_mul_(exp_avgs, decay1)
            torch._foreach_add_(exp_avgs, grads, alpha=1 - beta1)
        torch._foreach_mul_(exp_avg_sqs, decay2)
        torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - beta2)

        # P; addcdiv takes one number per tensor, but not one tensor
        roots = torch._foreach_add(exp_avg_sqs, offsets)
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(momentum_buffers, momentum)
        if on_tensors:
            torch._foreach_div_(roots, step_sizes)
            torch._foreach_addcdiv_(momentum_buffers, exp_avgs, roots)
        else:
            torch._foreach_addcdiv_(momentum_buffers, exp_avgs, roots, step_sizes)

        # theta
        if keep is not None:
            momentum_buffers = torch._foreach_mul(momentum_buffers, one)
        torch._foreach_sub_(params, momentum_buffers)

        if half:  # copy back all but the gradients
            for index in (0, 2, 3, 4):
                torch._foreach_copy_(own[index], wide[index])


def _fold_bias(
    step: float | Tensor, lr: float | Tensor, group: dict[str, Any]
) -> tuple[float | Tensor, float | Tensor]:
    """``step_size`` and ``offset`` for step t = 1, 2, ...; tensors are not read from the device.

    On tensors ``1 - beta^t`` is ``-expm1(t log beta)``: for small t and beta near 1, the plain
    difference would lose four of float32's seven digits.
    """
    if not isinstance(step, Tensor):
        correction1, correction2 = (1 - beta**step for beta in group['betas'])
        return lr * math.sqrt(correction2) / correction1, group['delta'] * correction2

    logs = [math.log(beta) if beta > 0 else -math.inf for beta in group['betas']]
    correction1, correction2 = (-torch.expm1(step * log) for log in logs)
    return correction2.sqrt() * lr / correction1, correction2 * group['delta']
