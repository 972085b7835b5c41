"""AMM, Adam with momentum on its update."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from mmagic.registry import OPTIMIZERS
from torch import Tensor
from torch.optim.optimizer import (
    Optimizer,
    _get_scalar_dtype,
    _use_grad_for_differentiable,
)

from .amm_functional import amm
from .amm_native import load_kernel

FLAGS = dict(
    foreach=None,
    maximize=False,
    capturable=False,
    differentiable=False,
    fused=None,
)
FUSED_DEVICES = ('cpu', 'cuda', 'xpu')
# torch 2.11 renamed the check
HEALTH_CHECK = (
    '_accelerator_graph_capture_health_check'
    if hasattr(Optimizer, '_accelerator_graph_capture_health_check')
    else '_cuda_graph_capture_health_check'
)
STATE_KEYS = ('exp_avg', 'exp_avg_sq', 'momentum_buffer')


def _check_number(name: str, value: Any, below: float = math.inf) -> None:
    """Check a setting that must be a number in [0, below).

    Raises:
        ValueError: If it is no real number, not finite or out of range.
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not 0 <= value < below:
        span = '>= 0' if below == math.inf else f'in [0, {below})'
        raise ValueError(f'AMM expected {name} to be a finite number {span}, but got {value!r}.')


def _check_lr(lr: Any, foreach: bool | None, capturable: bool) -> None:
    """Check the rate, a number or a tensor of one real element.

    Raises:
        ValueError: If it is neither, out of range, or a tensor together with
            ``foreach=True`` and ``capturable=False``.
    """
    if not isinstance(lr, Tensor):
        _check_number('lr', lr)
        return
    if lr.numel() != 1 or not lr.is_floating_point():
        raise ValueError(f'AMM: Tensor lr must be 1-element and real, but got {lr!r}.')
    if foreach and not capturable:
        raise ValueError(
            'AMM: lr as a Tensor is not supported for '
            f'capturable=False and foreach=True, but got {lr!r}: '
            'set capturable=True, or give a number.'
        )
    if not torch.compiler.is_compiling():
        _check_number('lr', lr.item())


def _check_options(options: dict[str, Any]) -> None:
    """Check the settings of one parameter group.

    Raises:
        ValueError: If a setting is out of range or of a wrong type.
        RuntimeError: If two settings exclude each other.
    """
    for name in ('foreach', 'fused'):
        if not (options[name] is None or isinstance(options[name], bool)):
            raise ValueError(
                f'AMM expected {name} to be True, False or None, but got {options[name]!r}.'
            )
    for name in ('maximize', 'capturable', 'differentiable'):
        if not isinstance(options[name], bool):
            raise ValueError(f'AMM expected {name} to be True or False, but got {options[name]!r}.')
    _check_lr(options['lr'], options['foreach'], options['capturable'])
    betas = options['betas']
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f'AMM expected betas to be two numbers, but got {betas!r}.')
    for index, beta in enumerate(betas):
        _check_number(f'betas[{index}]', beta, below=1)
    _check_number('delta', options['delta'])
    _check_number('momentum', options['momentum'], below=1)
    _check_number('weight_decay', options['weight_decay'])
    for other in ('foreach', 'differentiable'):
        if options['fused'] and options[other]:
            raise RuntimeError(f'AMM expected fused or {other} to be True, not both.')


def _check_fused(param: Tensor) -> None:
    """Check that the fused path can run on a parameter.

    Raises:
        RuntimeError: If its dtype or device is not supported, or if what the
            path needs to build its kernel is missing.
    """
    kind = param.device.type
    if kind not in FUSED_DEVICES or not param.is_floating_point():
        raise RuntimeError(
            'AMM(fused=True) expected real floating point parameters on one '
            f'of {FUSED_DEVICES}, but got {param.dtype} on {kind}.'
        )
    if kind == 'cpu':
        load_kernel()
        return
    from torch.utils._triton import has_triton

    if not has_triton():
        raise RuntimeError(
            'AMM(fused=True) expected Triton, which compiles '
            f'its update on {kind}, but could not find it: '
            'install triton, or leave fused unset.'
        )


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

    with :math:`m_0 = v_0 = P_0 = 0`. With ``momentum=0`` this is Adam with
    :math:`\delta` inside the root. A direction that stays the same adds up
    to :math:`1 / (1 - \alpha)` times Adam's step, ten times with the default.

    The decoupled weight decay :math:`\lambda` acts on the parameter alone:
    it enters neither the moments nor :math:`P`, so the momentum does not
    amplify it, and the share lost per step is ``lr * weight_decay``.

    Flags mean what they mean in :class:`torch.optim.Adam`, and by default
    the same path is chosen. State of one parameter: ``step`` (scalar; on the
    CPU unless ``capturable`` or ``fused``, wherever the checkpoint comes
    from) and three tensors shaped as the parameter: ``exp_avg``,
    ``exp_avg_sq`` and ``momentum_buffer``, one more than Adam.
    Half-precision parameters are updated in float32 and rounded once to
    their own type; their state is kept in it too.

    Source:
        paper: SLNP-GAN, section 1.4, table 1 and Eqs. (21), (22). Defaults
            from 2.1: betas, delta, alpha 0.9 and eta 1e-3; the GAN itself
            is trained with eta 1e-4 (generator) and 4e-4 (discriminator).
        reference: arguments and state layout after ``torch.optim.Adam``
            (PyTorch, BSD-3-Clause).
        ours: :math:`P_0 = 0`, since the "initial direction" of table 1 is
            Adam's; decoupled weight decay.

    Args:
        params (iterable): Parameters, named parameters or groups.
        lr (Union[float, Tensor]): Rate eta, no unit, >= 0. A tensor needs
            ``capturable=True`` if ``foreach=True``. Defaults to 1e-3.
        betas (Tuple[float, float]): Decay rates of both moments, no unit,
            [0, 1). Defaults to (0.9, 0.999).
        delta (float): Constant inside the root, unit of squared gradients,
            >= 0; with 0, a gradient that is 0 from the start gives NaN.
            Defaults to 1e-8.
        momentum (float): Weight alpha of the last update, no unit, [0, 1).
            Defaults to 0.9.
        weight_decay (float): Decoupled decay lambda, no unit, >= 0.
            Defaults to 0.
        foreach (bool, optional): Use foreach operations. Defaults to None:
            on accelerators, not on the CPU.
        maximize (bool): Ascend instead of descend. Defaults to False.
        capturable (bool): Keep ``step`` on the parameter's device, so that
            the step can be captured in a CUDA graph. Defaults to False.
        differentiable (bool): Let autograd record the step.
            Defaults to False.
        fused (bool, optional): Update in one pass over memory: with a small
            C kernel, compiled on first use, on the CPU, and with Triton, by
            way of ``torch.compile``, on accelerators. Defaults to None: no.

    Raises:
        ValueError: If a setting is out of range or of a wrong type.
        RuntimeError: If settings exclude each other, or if the fused path
            cannot run here.
    """

    def __init__(
        self,
        params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        delta: float = 1e-8,
        momentum: float = 0.9,
        weight_decay: float = 0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = dict(
            lr=lr,
            betas=betas,
            delta=delta,
            momentum=momentum,
            weight_decay=weight_decay,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
        )
        _check_options(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters after checking its settings.

        Args:
            param_group (Dict[str, Any]): ``params`` and any setting that
                differs from the optimizer's own.

        Raises:
            ValueError: If a setting is out of range or of a wrong type.
            RuntimeError: If settings exclude each other, or if the fused
                path cannot run on a parameter of the group.
        """
        if isinstance(param_group, dict):
            _check_options({**self.defaults, **param_group})
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        if group['fused']:
            try:
                for param in group['params']:
                    _check_fused(param)
            except RuntimeError:
                self.param_groups.pop()
                raise

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state; fill in what older versions did not save.

        Each ``step`` is put where the group's flags want it, whatever device
        the checkpoint was loaded to.

        Args:
            state (Dict[str, Any]): As given by ``__getstate__``.
        """
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in FLAGS.items():
                group.setdefault(name, value)
            group.setdefault('weight_decay', 0)
            on_device = group['capturable'] or group['fused']
            for param in group['params']:
                entry = self.state.get(param)
                if entry:
                    entry['step'] = torch.as_tensor(
                        entry['step'],
                        dtype=_get_scalar_dtype(is_fused=group['fused']),
                        device=param.device if on_device else 'cpu',
                    )

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> None:
        """Make the state of one parameter: t = 0, m = v = P = 0."""
        if group['fused']:
            _check_fused(param)
        on_device = group['capturable'] or group['fused']
        state = self.state[param]
        state['step'] = torch.zeros(
            (),
            dtype=_get_scalar_dtype(is_fused=group['fused']),
            device=param.device if on_device else 'cpu',
        )
        for key in STATE_KEYS:
            state[key] = torch.zeros_like(param, memory_format=torch.preserve_format)

    def _init_group(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        exp_avgs: list[Tensor],
        exp_avg_sqs: list[Tensor],
        momentum_buffers: list[Tensor],
        state_steps: list[Tensor],
    ) -> None:
        """Collect the tensors of parameters that have a gradient.

        Raises:
            RuntimeError: If a gradient is sparse, or ``step`` has a gradient.
        """
        for param in group['params']:
            if param.grad is None:
                continue
            if param.grad.is_sparse:
                raise RuntimeError(
                    'AMM expected dense gradients, but got a sparse one: set '
                    'sparse=False in the layer that makes it, or use '
                    'torch.optim.SparseAdam for its parameters.'
                )
            state = self.state[param]
            if len(state) == 0:
                self._init_state(param, group)
            if group['differentiable'] and state['step'].requires_grad:
                raise RuntimeError('AMM expected a step without gradient in differentiable mode.')
            if group['foreach'] and isinstance(group['lr'], Tensor) and not group['capturable']:
                raise RuntimeError(
                    'AMM: lr as a Tensor is not supported for capturable=False and foreach=True.'
                )
            params.append(param)
            grads.append(param.grad)
            exp_avgs.append(state['exp_avg'])
            exp_avg_sqs.append(state['exp_avg_sq'])
            momentum_buffers.append(state['momentum_buffer'])
            state_steps.append(state['step'])

    @_use_grad_for_differentiable
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do one step.

        Args:
            closure (Callable, optional): Evaluates the model again and
                returns the loss.

        Returns:
            Any: What the closure returned; None without one.

        Raises:
            RuntimeError: If a gradient is sparse.
        """
        getattr(self, HEALTH_CHECK)()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            columns: list[list[Tensor]] = [[] for _ in range(6)]
            self._init_group(group, *columns)
            beta1, beta2 = group['betas']
            amm(
                *columns,
                beta1=beta1,
                beta2=beta2,
                lr=group['lr'],
                delta=group['delta'],
                momentum=group['momentum'],
                weight_decay=group['weight_decay'],
                foreach=group['foreach'],
                fused=group['fused'],
                capturable=group['capturable'],
                differentiable=group['differentiable'],
                maximize=group['maximize'],
            )
        return loss
