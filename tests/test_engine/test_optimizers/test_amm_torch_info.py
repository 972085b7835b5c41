"""Torch's own optimizer test information, applied to AMM.

torch ships ``OptimizerInfo``, its error inputs and ``TensorTracker``; the
test bodies are in its source repository only and are written anew here.
"""

import copy
import importlib.util
import pickle
import unittest
import warnings

import pytest
import torch

from slnp_mm.engine.optimizers import AMM, amm_native

if importlib.util.find_spec('torch.testing._internal') is None:
    pytest.skip('this torch has no internal test tools', allow_module_level=True)
common = importlib.import_module('torch.testing._internal.common_optimizers')
# Importing them freezes the backends' flags for the whole process, and with
# them `cudnn_benchmark` of every config that a later test runs.
torch.backends.disable_global_flags.__globals__['__allow_nonbracketed_mutation_flag'] = True
COMPILER = amm_native.find_compiler() is not None


def inputs_of_amm(device, dtype=None):
    """Settings without foreach, fused and differentiable."""
    settings = dict(
        default={},
        lr=dict(lr=0.01),
        tensor_lr=dict(lr=torch.tensor(0.001), capturable=True),
        weight_decay=dict(weight_decay=0.1),
        maximize=dict(weight_decay=0.1, maximize=True),
        capturable=dict(capturable=True),
        no_momentum=dict(momentum=0.0),
        delta=dict(delta=1e-3, betas=(0.5, 0.9)),
    )
    return [
        common.OptimizerInput(params=None, kwargs=kwargs, desc=name)
        for name, kwargs in settings.items()
    ]


INFO = common.OptimizerInfo(
    AMM,
    optim_inputs_func=inputs_of_amm,
    optim_error_inputs_func=common.get_error_inputs_for_all_optims,
    supported_impls=('foreach', 'differentiable', 'fused'),
    has_capturable_arg=True,
    supports_fused_on=('cpu', 'cuda') if COMPILER else ('cuda',),
)
INPUTS = INFO.optim_inputs_func('cpu')
IMPLS = ['foreach'] + (['fused'] if COMPILER else [])


def all_inputs():
    """Every setting, plain and on every path (foreach on the CPU too)."""
    found = []
    for item in INPUTS:
        for path in ({}, *({impl: True} for impl in IMPLS)):
            name = '-'.join([item.desc, *path])
            found.append(pytest.param({**item.kwargs, **path}, id=name))
    return found


def problem(kwargs, dtype=torch.float32):
    """A linear problem, and an optimizer of copied settings."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator).to(dtype)

    weight = draw(10, 5).requires_grad_()
    bias = draw(10).requires_grad_()
    inputs = draw(5)
    optimizer = INFO.optim_cls([weight, bias], **copy.deepcopy(kwargs))

    def closure():
        optimizer.zero_grad()
        loss = (weight.mv(inputs) + bias).pow(2).sum()
        loss.backward()
        return loss

    return optimizer, [weight, bias], closure


@pytest.mark.parametrize(
    'item', INFO.optim_error_inputs_func('cpu', torch.float32),
    ids=lambda item: item.optimizer_error_input.desc,
)  # fmt: skip
def test_error_inputs_raise_torchs_errors(item):
    case = item.optimizer_error_input
    params = case.params
    if params is None:
        params = [torch.ones(1, requires_grad=True)]
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        with pytest.raises(item.error_type, match=item.error_regex):
            INFO.optim_cls(params, **case.kwargs)


@pytest.mark.parametrize('kwargs', all_inputs())
def test_forloop_goes_right_direction(kwargs):
    optimizer, _, closure = problem(kwargs)
    first = closure().item()
    for _ in range(20):
        closure()
        optimizer.step()
    last = closure().item()
    assert last > first if kwargs.get('maximize') else last < first


@pytest.mark.parametrize('kwargs', all_inputs())
def test_steps_with_every_torch_scheduler_input(kwargs):
    for makers in INFO.scheduler_inputs:
        optimizer, _, closure = problem(kwargs)
        start = float(optimizer.param_groups[0]['lr'])
        schedulers = [make(optimizer) for make in makers]
        for _ in range(12):
            loss = optimizer.step(closure)
            for scheduler in schedulers:
                needs = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
                scheduler.step(*([loss] if needs else []))
        assert float(optimizer.param_groups[0]['lr']) < 0.95 * start


@pytest.mark.parametrize('impl', IMPLS)
@pytest.mark.parametrize('item', INPUTS, ids=lambda item: item.desc)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_implementations_match_the_for_loop(impl, item, dtype):
    tracker = common.TensorTracker()
    check = unittest.TestCase()
    check.assertEqual = lambda a, b: torch.testing.assert_close(a.detach(), b, rtol=1e-5, atol=1e-6)
    for flag in (False, True):
        optimizer, params, closure = problem({**item.kwargs, impl: flag}, dtype)
        for _ in range(7):
            closure()
            optimizer.step()
            states = [
                value for p in params for key, value in optimizer.state[p].items() if key != 'step'
            ]
            for tensor in [*params, *states]:
                if flag:
                    tracker.pop_check_set(tensor, check)
                else:
                    tracker.add(tensor)
    assert tracker.all_popped()


@pytest.mark.parametrize('kwargs', all_inputs())
def test_state_dict_is_deterministic_and_pickles(kwargs):
    optimizer, params, closure = problem(kwargs)
    for _ in range(3):
        optimizer.step(closure)
    twin, copied, twin_closure = problem(kwargs)
    with torch.no_grad():
        for a, b in zip(copied, params):
            a.copy_(b)
    twin.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    for _ in range(3):
        optimizer.step(closure)
        twin.step(twin_closure)
    assert all(torch.equal(a, b) for a, b in zip(params, copied))
    assert repr(twin.state_dict()) == repr(optimizer.state_dict())


@pytest.mark.parametrize('flag', INFO.not_og_supported_flags)
def test_can_load_a_state_dict_older_than_a_flag(flag):
    optimizer, _, closure = problem({})
    optimizer.step(closure)
    old = optimizer.state_dict()
    for group in old['param_groups']:
        del group[flag]
    optimizer.load_state_dict(old)
    optimizer.step(closure)


@pytest.mark.parametrize('kwargs', all_inputs())
def test_zero_grad_state_hooks_and_deepcopy(kwargs):
    optimizer, params, closure = problem(kwargs)
    seen = []
    optimizer.register_step_pre_hook(lambda *args: seen.append('before'))
    optimizer.register_step_post_hook(lambda *args: seen.append('after'))
    optimizer.step(closure)
    assert seen == ['before', 'after']
    optimizer.zero_grad()
    before = [p.detach().clone() for p in params]
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(params, before))
    twin = copy.deepcopy(optimizer)
    public = {key for key in vars(optimizer) if not key.startswith('_')}
    assert {k for k in vars(twin) if not k.startswith('_')} == public


@pytest.mark.parametrize('kwargs', all_inputs())
def test_non_contiguous_and_empty_gradients_step(kwargs):
    params = [torch.empty(0, 3), torch.randn(10, 5).t(), torch.randn(10, 2)]
    params[2] = params[2][..., 0]
    params = [p.requires_grad_() for p in params]
    optimizer = INFO.optim_cls(params, **copy.deepcopy(kwargs))
    for param in params:
        param.grad = torch.ones_like(param)
    before = [p.detach().clone() for p in params]
    optimizer.step()
    assert all((a != b).all() for a, b in zip(params, before) if b.numel())


def test_default_dtype_does_not_break_foreach():
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.float64, torch.float32):
            torch.set_default_dtype(dtype)
            optimizer, params, closure = problem(dict(foreach=True))
            optimizer.step(closure)
            assert optimizer.state[params[0]]['step'].dtype == dtype
    finally:
        torch.set_default_dtype(before)
