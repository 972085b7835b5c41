"""AMM's arithmetic, settings and state, torch's own checks of optimizers, and training.

torch ships ``OptimizerInfo``, its error and its scheduler inputs; the test bodies are in its source
repository only and are written anew here.
"""

import copy
import functools
import inspect
import io
import math
import shutil
import warnings

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmagic.engine.optimizers import MultiOptimWrapperConstructor
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import DefaultScope
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.testing._internal import common_optimizers as common

from slnp_mm.engine.optimizers import AMM
from slnp_mm.engine.optimizers import amm as amm_module

# Importing torch's test tools freezes the backends' flags for the whole process, and with them
# `cudnn_benchmark` of every config that a later test runs.
torch.backends.disable_global_flags.__globals__['__allow_nonbracketed_mutation_flag'] = True

either_path = pytest.mark.parametrize('flags', [dict(foreach=False), dict(foreach=True)], ids=str)
each_path = pytest.mark.parametrize(
    'flags', [dict(foreach=f, capturable=c) for c in (False, True) for f in (False, True)], ids=str
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
SETTINGS = dict(
    default={},
    lr=dict(lr=0.01),
    tensor_lr=dict(lr=torch.tensor(0.001), capturable=True),
    weight_decay=dict(weight_decay=0.1),
    maximize=dict(weight_decay=0.1, maximize=True),
    capturable=dict(capturable=True),
    no_momentum=dict(momentum=0.0),
    delta=dict(delta=1e-3, betas=(0.5, 0.9)),
)
INFO = common.OptimizerInfo(
    AMM,
    optim_inputs_func=None,  # SETTINGS
    supported_impls=('foreach', 'differentiable'),
    has_capturable_arg=True,
)
ERRORS = common.get_error_inputs_for_all_optims('cpu', torch.float32)
each_setting = pytest.mark.parametrize(
    'kwargs',
    [{**kwargs, 'foreach': foreach} for kwargs in SETTINGS.values() for foreach in (False, True)],
    ids=[f'{name}-{path}' for name in SETTINGS for path in ('single', 'foreach')],
)
CONSTANT = dict(lr=1e-2, betas=(0.8, 0.99), delta=1e-3, momentum=0.7)


def table_1(theta, grads, lr, betas, delta, momentum, weight_decay=0.0):
    """Table 1 with Eqs. (21), (22) on plain numbers; all values of theta."""
    m = v = update = 0.0
    path = []
    for t, g in enumerate(grads, 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        m_hat = m / (1 - betas[0] ** t)
        v_hat = v / (1 - betas[1] ** t)
        update = momentum * update + lr * m_hat / math.sqrt(v_hat + delta)
        theta = theta * (1 - lr * weight_decay) - update
        path.append(theta)
    return path


def take_steps(optimizer, params, grads):
    """Set gradients and step; return copies of the parameters."""
    path = []
    for row in grads:
        for param, grad in zip(params, row):
            param.grad = grad.clone()
        optimizer.step()
        path.append([p.detach().clone() for p in params])
    return path


def make_params(dtype=torch.float64, shapes=((2, 3), (), (5, 1, 2, 2), (0, 4), (8195,))):
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(s, dtype=torch.float64, generator=generator).to(dtype).requires_grad_()
        for s in shapes
    ]


def make_grads(params, steps):
    generator = torch.Generator().manual_seed(2)
    return [
        [torch.randn(p.shape, dtype=torch.float64, generator=generator).to(p.dtype) for p in params]
        for _ in range(steps)
    ]


def copies(params):
    return [p.detach().clone().requires_grad_() for p in params]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second))


# Arithmetic


@each_path
@pytest.mark.parametrize('maximize', [False, True])
@pytest.mark.parametrize('momentum', [0.0, 0.7])
def test_steps_equal_table_1_over_200_steps(flags, maximize, momentum):
    params = make_params(shapes=((7,), ()))
    before = copies(params)
    grads = make_grads(params, 200)
    settings = {**CONSTANT, 'momentum': momentum, 'weight_decay': 0.1}
    path = take_steps(AMM(params, maximize=maximize, **settings, **flags), params, grads)
    for index, start in enumerate(before):
        for place, theta in enumerate(start.flatten().tolist()):
            numbers = [g[index].flatten()[place].item() * (-1) ** maximize for g in grads]
            got = [row[index].flatten()[place].item() for row in path]
            assert got == pytest.approx(table_1(theta, numbers, **settings), rel=0, abs=1e-12)


HAND_WORKED = dict(
    # m_hat = 2 and v_hat = 4 at each step, so Adam's steps are eta 2 / sqrt(4 + 12) = 1/2, and P is
    # 0.5, 0.75, 0.875
    three_steps=(dict(lr=1.0, betas=(0.5, 0.5), delta=12.0, momentum=0.5),
                 1.0, [2.0] * 3, [0.5, -0.25, -1.125]),
    delta_inside_the_root=(dict(lr=1.0, delta=1.0, momentum=0.0), 0.0, [1.0], [-1 / math.sqrt(2)]),
    betas_zero=(dict(lr=0.1, betas=(0, 0), delta=0, momentum=0), 0.0, [1.0], [-0.1]),
    # eta (1 - 0.9^t) / (1 - 0.9), ten rates a step in the end, nine of the sum lost at the start
    steady_gradient=(dict(lr=1e-3, delta=0), 0.0, [1.0] * 300, [-2.90, -2.91]),
    decay_without_momentum=(dict(lr=0.1, weight_decay=0.5), 1.0, [0.0] * 4,
                            [0.95, 0.95**2, 0.95**3, 0.95**4]),
)  # fmt: skip


@each_path
@pytest.mark.parametrize('settings, start, grads, expected', HAND_WORKED.values(), ids=HAND_WORKED)
def test_last_steps_equal_hand_worked_numbers(flags, settings, start, grads, expected):
    param = torch.tensor([start], dtype=torch.float64, requires_grad=True)
    rows = [[torch.tensor([g], dtype=torch.float64)] for g in grads]
    path = take_steps(AMM([param], **settings, **flags), [param], rows)
    assert torch.cat([p for (p,) in path]).tolist()[-len(expected) :] == pytest.approx(
        expected, rel=0, abs=1e-12
    )


@each_path
def test_momentum_and_delta_zero_equal_torchs_adam(flags):
    """Without delta it does not matter that Adam's stands outside the root."""
    ours = make_params()
    adams = copies(ours)
    grads = make_grads(ours, 60)
    optimizer = AMM(ours, 1e-2, (0.8, 0.99), delta=0.0, momentum=0.0, **flags)
    adam = torch.optim.Adam(adams, 1e-2, (0.8, 0.99), eps=0.0)
    paths = take_steps(optimizer, ours, grads), take_steps(adam, adams, grads)
    torch.testing.assert_close(*paths, rtol=0, atol=1e-12)


@pytest.mark.parametrize('kwargs', SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(
    'dtype', [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64], ids=str
)
def test_foreach_matches_the_for_loop(kwargs, dtype):
    """Bit for bit where both compute on numbers."""
    nets = make_params(dtype), make_params(dtype)
    grads = make_grads(nets[0], 20)
    results = []
    for foreach, params in zip((False, True), nets):
        optimizer = AMM(params, foreach=foreach, **copy.deepcopy(kwargs))
        path = take_steps(optimizer, params, grads)
        results.append([path, [optimizer.state[p] for p in params]])
    torch.testing.assert_close(*results)
    assert kwargs.get('capturable') or same(*nets)


@each_path
def test_complex_equals_its_two_real_parts(flags):
    (whole,) = make_params(torch.complex128, [(4,)])
    parts = torch.view_as_real(whole.detach()).clone().requires_grad_()
    grads = make_grads([whole], 10)
    take_steps(AMM([whole], **CONSTANT, **flags), [whole], grads)
    real = [[torch.view_as_real(row[0])] for row in grads]
    take_steps(AMM([parts], **CONSTANT, **flags), [parts], real)
    assert torch.equal(torch.view_as_real(whole), parts)


@each_path
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once_per_step(flags, dtype):
    # float16 holds neither delta 1e-8 nor a small squared gradient: still the float32 step
    wide, grad = torch.tensor([1.0], requires_grad=True), torch.tensor([0.5])
    (narrow,) = copies([wide.to(dtype)])
    take_steps(AMM([wide], lr=0.1), [wide], [[grad]])
    take_steps(AMM([narrow], lr=0.1, **flags), [narrow], [[grad.to(dtype)]])
    assert torch.equal(narrow, wide.to(dtype))
    take_steps(AMM([narrow], lr=0.1, **flags), [narrow], [[torch.zeros(1, dtype=dtype)]] * 3)
    assert torch.isfinite(narrow).all()


def test_bias_folded_on_tensors_keeps_float32_precision():
    group = dict(betas=(0.9, 0.999), delta=1e-8)
    folded = amm_module._fold_bias(torch.arange(1.0, 200.0), 1e-3, group)
    exact = [amm_module._fold_bias(t, 1e-3, group) for t in range(1, 200)]
    torch.testing.assert_close(torch.stack(folded, 1), torch.tensor(exact), rtol=1e-6, atol=0)


@each_path
def test_params_without_gradient_stay(flags):
    first, second = make_params(shapes=((2, 3), ()))
    before = second.detach().clone()
    optimizer = AMM([dict(params=[]), dict(params=[first, second])], **flags)
    optimizer.step()
    first.grad = torch.ones_like(first)
    optimizer.step()
    assert torch.equal(second, before) and second not in optimizer.state
    second.grad = torch.ones_like(second)
    optimizer.step()
    assert optimizer.state[second]['step'] == 1 and optimizer.state[first]['step'] == 2
    state = optimizer.state[first]
    assert set(state) == {'step', 'exp_avg', 'exp_avg_sq', 'momentum_buffer'}
    assert state['step'].shape == () and state['step'].device.type == 'cpu'


def test_differentiable_gradient_flows_through_three_steps():
    def loss(start, rate):
        param = start.clone()
        optimizer = AMM([param.detach().requires_grad_()], lr=rate, differentiable=True)
        optimizer.param_groups[0]['params'][0] = param
        for _ in range(3):
            param.grad = 2 * param.clone()
            optimizer.step()
        return (param**2).sum()

    start = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor(0.05, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (start, rate))


# Settings


def test_signature_is_the_documented_one():
    assert str(inspect.signature(AMM)).replace(' | ', '|') == (
        '(params, lr: float|torch.Tensor = 0.001, betas: tuple[float, float] = (0.9, 0.999), '
        'delta: float = 1e-08, momentum: float = 0.9, weight_decay: float = 0, *, '
        'foreach: bool|None = None, maximize: bool = False, capturable: bool = False, '
        'differentiable: bool = False) -> None'
    )


BAD_SETTINGS = [
    *((dict(lr=bad), f'lr .*{bad!r}') for bad in (-1.0, math.nan, math.inf, True, '0.1', 1j, None)),
    (dict(lr=torch.tensor([0.1, 0.2])), 'lr must be 1-element'),
    (dict(lr=torch.tensor(1)), 'lr must be 1-element and real'),
    (dict(lr=torch.tensor(-1.0)), 'lr .*-1.0'),
    (dict(lr=torch.tensor(math.nan)), 'lr .*nan'),
    (dict(lr=torch.tensor(0.1), foreach=True), 'lr as a Tensor.*0.1'),
    (dict(betas=0.9), 'betas .*0.9'),
    (dict(betas=(0.9,)), r'betas .*\(0.9,\)'),
    (dict(betas='ab'), "betas .*'ab'"),
    *((dict(betas=(bad, 0.9)), rf'betas\[0\] .*{bad}') for bad in (1.0, -0.1, False)),
    *((dict(betas=(0.9, bad)), rf'betas\[1\] .*{bad}') for bad in (1.0, math.nan, None)),
    *((dict(delta=bad), f'delta .*{bad!r}') for bad in (-1e-8, math.nan, 'x')),
    *((dict(momentum=bad), f'momentum .*{bad!r}') for bad in (1.0, -0.1, math.nan, True, 1j)),
    (dict(weight_decay=-1), 'weight_decay .*-1'),
    (dict(weight_decay=math.inf), 'weight_decay .*inf'),
    (dict(weight_decay=[0]), r'weight_decay .*\[0\]'),
    (dict(foreach=1), 'foreach to be True, False or None, but got 1'),
    (dict(maximize=None), 'maximize to be True or False, but got None'),
    (dict(capturable=0), 'capturable .*0'),
    (dict(differentiable='no'), "differentiable .*'no'"),
    (dict(foreach=True, differentiable=True), 'foreach or differentiable to be True, not both'),
]


@pytest.mark.parametrize('settings, text', BAD_SETTINGS)
def test_bad_setting_raises_with_name_and_value(settings, text):
    error = RuntimeError if 'not both' in text else ValueError
    param, other = (torch.ones(1, requires_grad=True) for _ in range(2))
    with pytest.raises(error, match=text):
        AMM([param], **settings)
    with pytest.raises(error, match=text):
        AMM([dict(params=[param], **settings)])
    optimizer = AMM([param])
    with pytest.raises(error, match=text):
        optimizer.add_param_group(dict(params=[other], **settings))
    assert len(optimizer.param_groups) == 1


def test_sparse_gradient_raises():
    layer = nn.Embedding(4, 2, sparse=True)
    optimizer = AMM(layer.parameters())
    layer(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match='dense gradients.*SparseAdam'):
        optimizer.step()


@pytest.mark.parametrize(
    'settings, adams_choice, expected',
    [
        ({}, False, 'single'),
        ({}, True, 'multi'),
        (dict(lr=torch.tensor(0.1)), True, 'single'),
        (dict(lr=torch.tensor(0.1), capturable=True), True, 'multi'),
        (dict(foreach=False), True, 'single'),
        (dict(foreach=True), False, 'multi'),
    ],
)
def test_path_is_chosen_as_adam_chooses(settings, adams_choice, expected, monkeypatch):
    called = []
    for path in ('single', 'multi'):
        note = functools.partial(lambda path, *args: called.append(path), path)
        monkeypatch.setattr(amm_module, f'_{path}_tensor_amm', note)
    choose = '_default_to_fused_or_foreach'
    monkeypatch.setattr(amm_module, choose, lambda *args: (False, adams_choice))
    param = torch.ones(1, requires_grad=True)
    param.grad = torch.ones(1)
    AMM([param], **settings).step()
    assert called == [expected]


# State


@each_setting
def test_resumed_run_continues_bit_for_bit(kwargs):
    params = make_params(torch.float32)
    grads = make_grads(params, 10)
    optimizer = AMM(params, **copy.deepcopy(kwargs))
    take_steps(optimizer, params, grads[:6])
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    # made with other settings: the file's count
    resumed = copies(params)
    other = AMM(resumed, lr=0.5, foreach=not kwargs['foreach'])
    other.load_state_dict(torch.load(file, weights_only=True))
    twin = copy.deepcopy(optimizer)
    copied = twin.param_groups[0]['params']
    for one, its in ((optimizer, params), (other, resumed), (twin, copied)):
        take_steps(one, its, grads[6:])
    assert same(params, resumed) and same(params, copied)
    assert repr(other.state_dict()) == repr(optimizer.state_dict())


@each_path
def test_state_moves_to_another_path_without_change(flags):
    params = make_params(torch.float32)
    grads = make_grads(params, 8)
    optimizer = AMM(params, foreach=False, **CONSTANT)
    take_steps(optimizer, params, grads[:4])
    saved, moved = copy.deepcopy(optimizer.state_dict()), copies(params)
    saved['param_groups'][0].update(flags)
    other = AMM(moved)
    other.load_state_dict(saved)
    for a, b in zip(params, moved):
        assert all(torch.equal(value, other.state[b][k]) for k, value in optimizer.state[a].items())
    take_steps(optimizer, params, grads[4:])
    take_steps(other, moved, grads[4:])
    torch.testing.assert_close(params, moved)


@pytest.mark.parametrize('fused', [None, True])
@pytest.mark.parametrize(
    'missing',
    [*((flag,) for flag in INFO.not_og_supported_flags), (*amm_module.FLAGS, 'weight_decay')],
)
def test_state_of_another_version_is_filled_in_or_cut(fused, missing):
    params = make_params(torch.float32)
    grads = make_grads(params, 6)
    optimizer = AMM(params, **CONSTANT)
    take_steps(optimizer, params, grads[:3])
    old, resumed = copy.deepcopy(optimizer.state_dict()), copies(params)
    for name in missing:
        del old['param_groups'][0][name]
    old['param_groups'][0]['fused'] = fused
    for entry in old['state'].values():
        entry['step'] = int(entry['step'])
    other = AMM(resumed, **CONSTANT)
    other.load_state_dict(old)
    take_steps(optimizer, params, grads[3:])
    take_steps(other, resumed, grads[3:])
    assert same(params, resumed)
    assert other.param_groups[0].keys() == optimizer.param_groups[0].keys()
    assert isinstance(other.state[resumed[0]]['step'], torch.Tensor)


# Torch's own checks


def problem(kwargs):
    """A linear problem, and an optimizer of copied settings."""
    weight, bias, inputs = make_params(torch.float32, ((10, 5), (10,), (5,)))
    optimizer = AMM([weight, bias], **copy.deepcopy(kwargs))

    def closure():
        optimizer.zero_grad()
        loss = (weight.mv(inputs.detach()) + bias).pow(2).sum()
        loss.backward()
        return loss

    return optimizer, [weight, bias], closure


@pytest.mark.parametrize('item', ERRORS, ids=lambda item: item.optimizer_error_input.desc)
def test_error_inputs_raise_torchs_errors(item):
    case = item.optimizer_error_input
    params = [torch.ones(1, requires_grad=True)] if case.params is None else case.params
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        with pytest.raises(item.error_type, match=item.error_regex):
            AMM(params, **case.kwargs)


@each_setting
def test_forloop_goes_right_direction(kwargs):
    optimizer, _, closure = problem(kwargs)
    first = closure().item()
    losses = [optimizer.step(closure).item() for _ in range(20)]
    losses.append(closure().item())
    assert losses[0] == first and (losses[-1] > first) == kwargs.get('maximize', False)


@each_setting
def test_steps_with_every_torch_scheduler_input(kwargs):
    for makers in INFO.scheduler_inputs:
        optimizer, _, closure = problem(kwargs)
        start = float(optimizer.param_groups[0]['lr'])
        schedulers = [make(optimizer) for make in makers]
        for _ in range(12):
            loss = optimizer.step(closure)
            for scheduler in schedulers:
                needs = isinstance(scheduler, ReduceLROnPlateau)
                scheduler.step(*([loss] if needs else []))
        assert float(optimizer.param_groups[0]['lr']) < 0.95 * start


@each_setting
def test_zero_grad_state_hooks_and_deepcopy(kwargs):
    optimizer, params, closure = problem(kwargs)
    seen = []
    optimizer.register_step_pre_hook(lambda *args: seen.append('before'))
    optimizer.register_step_post_hook(lambda *args: seen.append('after'))
    optimizer.step(closure)
    assert seen == ['before', 'after']
    optimizer.zero_grad()
    before = copies(params)
    optimizer.step()
    assert same(params, before)
    public = {key for key in vars(optimizer) if not key.startswith('_')}
    assert {key for key in vars(copy.deepcopy(optimizer)) if not key.startswith('_')} == public


@each_setting
def test_non_contiguous_and_empty_gradients_step(kwargs):
    params = [torch.empty(0, 3), torch.randn(10, 5).t(), torch.randn(10, 2)[..., 0]]
    params = [p.requires_grad_() for p in params]
    optimizer = AMM(params, **copy.deepcopy(kwargs))
    for param in params:
        param.grad = torch.ones_like(param)
    before = copies(params)
    optimizer.step()
    assert all((a != b).all() for a, b in zip(params, before))


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


# In training


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def loss_of(net, rows=slice(8), device='cpu'):
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))[rows].to(device)
    return ((net(inputs) - inputs.sum(1, keepdim=True)) ** 2).mean()


def train(net, optimizer, steps=3, after=lambda: None, **options):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(net, **options).backward()
        optimizer.step()
        after()
    return list(net.parameters())


def test_tensor_lr_equals_number_and_can_be_scheduled():
    results = []
    for lr in (0.01, torch.tensor([0.01])):
        net = small_net()
        optimizer = AMM(net.parameters(), lr=lr)
        results.append(train(net, optimizer, 5, StepLR(optimizer, 2, 0.5).step))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize('parts', [1, 2])
def test_optim_wrapper_accumulates_to_plain_steps(parts):
    net = small_net()
    wrapper = OptimWrapper(AMM(net.parameters(), lr=0.01), accumulative_counts=parts)
    for _ in range(3):
        for start in range(0, 8, 8 // parts):
            with wrapper.optim_context(net):
                loss = loss_of(net, slice(start, start + 8 // parts))
            wrapper.update_params(loss)
    assert wrapper.optimizer.state[net[0].weight]['step'] == 3
    plain = small_net()
    expected = train(plain, AMM(plain.parameters(), lr=0.01))
    torch.testing.assert_close(list(net.parameters()), expected)
    assert parts > 1 or same(net.parameters(), expected)


def test_clipping_acts_before_the_step():
    net = small_net()
    wrapper = OptimWrapper(AMM(net.parameters(), lr=0.01), clip_grad=dict(max_norm=1e-3))
    wrapper.update_params(loss_of(net))
    firsts = [s['exp_avg'].flatten() for s in wrapper.optimizer.state.values()]
    assert torch.cat(firsts).norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-3)


@either_path
def test_amp_wrapper_trains_in_bfloat16(flags, monkeypatch):
    # mmengine asks for a GPU; the CPU's scaler and casts do the same
    module = 'mmengine.optim.optimizer.amp_optimizer_wrapper.'
    monkeypatch.setattr(module + 'is_cuda_available', lambda: True)
    monkeypatch.setattr(module + 'GradScaler', functools.partial(torch.amp.GradScaler, 'cpu'))
    net = small_net()
    optimizer = AMM(net.parameters(), lr=0.01, **flags)
    wrapper = AmpOptimWrapper(optimizer=optimizer, dtype='bfloat16')
    before = loss_of(net).item()
    for _ in range(30):
        with torch.autocast('cpu', dtype=torch.bfloat16):
            loss = loss_of(net)
        wrapper.update_params(loss)
    assert loss_of(net).item() < 0.5 * before
    assert wrapper.optimizer.state[net[0].weight]['step'] == 30


@either_path
def test_grad_scaler_skips_a_step_with_infinite_gradients(flags):
    net, plain = small_net(), small_net()
    optimizer = AMM(net.parameters(), lr=0.01, **flags)
    scaler = torch.amp.GradScaler('cpu', init_scale=4.0)
    scaler.scale(loss_of(net)).backward()
    net[0].weight.grad[0, 0] = float('inf')
    scaler.step(optimizer)
    scaler.update()
    assert same(net.parameters(), plain.parameters()) and scaler.get_scale() == 2
    optimizer.zero_grad()
    scaler.scale(loss_of(net)).backward()
    scaler.step(optimizer)
    reference = AMM(plain.parameters(), lr=0.01, **flags)
    assert same(net.parameters(), train(plain, reference, 1))


def test_each_network_and_group_gets_its_rate():
    rates = dict(generator=0.1, discriminator=4e-4)
    model = nn.ModuleDict({name: small_net() for name in rates})
    cfg = {name: dict(optimizer=dict(type='AMM', lr=rate)) for name, rate in rates.items()}
    cfg['generator']['optimizer']['weight_decay'] = 0.2
    keys = {'2.weight': {'lr_mult': 0.5}}
    cfg['generator']['paramwise_cfg'] = dict(bias_decay_mult=0.0, custom_keys=keys)
    with DefaultScope.overwrite_default_scope('mmagic'):
        wrappers = MultiOptimWrapperConstructor(cfg)(model)
    groups = wrappers['generator'].optimizer.param_groups
    found = {id(p): (g['lr'], g['weight_decay']) for g in groups for p in g['params']}
    net = model['generator']
    assert [found[id(p)] for p in (net[0].weight, net[0].bias, net[2].weight)] == [
        (0.1, 0.2),
        (0.1, 0.0),
        (0.05, 0.2),
    ]
    for name, rate in rates.items():
        net = model[name]
        assert type(wrappers[name].optimizer) is AMM
        before = net[0].bias.detach().clone()
        wrappers[name].update_params(loss_of(net))
        assert (net[0].bias - before).abs().max().item() == pytest.approx(rate, rel=1e-2)


def _train_rank(rank, address, results):
    """Train one of two DDP ranks on its half of the data."""
    dist.init_process_group('gloo', init_method=address, rank=rank, world_size=2)
    torch.set_num_threads(1)
    net = nn.parallel.DistributedDataParallel(small_net())
    train(net, AMM(net.parameters(), lr=0.01), rows=slice(4 * rank, 4 * rank + 4))
    torch.save(net.module.state_dict(), f'{results}/{rank}.pth')
    dist.destroy_process_group()


def test_two_ddp_processes_equal_one(tmp_path):
    if torch.cuda.is_initialized():
        pytest.skip('a process that has used CUDA cannot be forked')
    arguments = (f'file://{tmp_path}/meeting', str(tmp_path))
    mp.start_processes(_train_rank, arguments, nprocs=2, start_method='fork')
    net = small_net()
    train(net, AMM(net.parameters(), lr=0.01))
    ranks = [torch.load(tmp_path / f'{rank}.pth') for rank in range(2)]
    for key, value in net.state_dict().items():
        assert torch.equal(ranks[0][key], ranks[1][key])
        torch.testing.assert_close(ranks[0][key], value)


def compare_compiled(net, flags, **options):
    """Train a net and its copy for four steps, one with a compiled step."""
    torch._dynamo.reset()
    nets = net, copy.deepcopy(net)
    optimizers = [AMM(net.parameters(), lr=0.01, **flags) for net in nets]
    steps = optimizers[0].step, torch.compile(optimizers[1].step, **options)
    for _ in range(4):
        for net, step in zip(nets, steps):
            net.zero_grad()
            loss_of(net).backward()
            step()
    torch.testing.assert_close(*(list(net.parameters()) for net in nets))


@each_path
def test_step_can_be_traced_by_dynamo(flags):
    compare_compiled(small_net(), flags, backend='aot_eager')


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('c++'), reason='needs a C++ compiler')
def test_compiled_step_equals_the_eager_one():
    # precompiled headers and a pool of compilers take longer than one kernel
    with torch._inductor.config.patch(cpp_cache_precompile_headers=False, compile_threads=1):
        compare_compiled(nn.Linear(3, 1, bias=False), dict(foreach=True))


# On a GPU


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize('flags', [{}, dict(foreach=False), dict(capturable=True)])
def test_gpu_equals_cpu(flags):
    nets = small_net(), small_net().cuda()
    slow = train(nets[0], AMM(nets[0].parameters(), lr=0.01), 5)
    fast = train(nets[1], AMM(nets[1].parameters(), lr=0.01, **flags), 5, device='cuda')
    torch.testing.assert_close(slow, [p.cpu() for p in fast], rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize('capturable', [False, True])
def test_state_moved_to_the_gpu_keeps_step_where_it_belongs(capturable):
    params = [torch.ones(3, device='cuda', requires_grad=True)]
    grads = [[torch.ones(3, device='cuda')]] * 2
    optimizer = AMM(params, capturable=capturable)
    take_steps(optimizer, params, grads)
    # the state dict of an optimizer shares its tensors
    saved, resumed = copy.deepcopy(optimizer.state_dict()), copies(params)
    for entry in saved['state'].values():
        entry['step'] = entry['step'].cuda()
    other = AMM(resumed, capturable=capturable)
    other.load_state_dict(saved)
    assert other.state[resumed[0]]['step'].is_cuda == capturable
    take_steps(optimizer, params, grads)
    take_steps(other, resumed, grads)
    assert torch.equal(params[0], resumed[0])


@pytest.mark.gpu
@needs_gpu
def test_step_is_captured_in_a_cuda_graph():
    param, check = torch.ones(3, device='cuda', requires_grad=True), torch.ones(3)
    param.grad, check.grad = torch.ones(3, device='cuda'), torch.ones(3)
    optimizer, plain = AMM([param], capturable=True), AMM([check])
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            optimizer.step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()
    for _ in range(5):
        graph.replay()
    for _ in range(8):
        plain.step()
    torch.testing.assert_close(param.detach().cpu(), check)
