"""AMM's arithmetic, settings and state."""

import copy
import inspect
import io
import math

import pytest
import torch
from mmagic.registry import OPTIMIZERS
from torch import nn

from slnp_mm.engine.optimizers import AMM, amm_functional, amm_native
from slnp_mm.engine.optimizers import amm as amm_module
from slnp_mm.engine.optimizers.amm_functional import (
    _multi_tensor_amm,
    bias_scalars,
    bias_tensors,
)

needs_compiler = pytest.mark.skipif(amm_native.find_compiler() is None, reason='needs a C compiler')
PATHS = [
    pytest.param({}, id='default'),
    pytest.param(dict(foreach=False), id='single'),
    pytest.param(dict(foreach=True), id='foreach'),
    pytest.param(dict(fused=True), id='fused', marks=needs_compiler),
    pytest.param(dict(capturable=True, foreach=False), id='capturable'),
    pytest.param(dict(capturable=True, foreach=True), id='capturable-foreach'),
]
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


def make_params(dtype=torch.float64):
    """Several shapes; one is empty and one longer than a kernel chunk."""
    shapes = [(2, 3), (), (5, 1, 2, 2), (0, 4), (8195,)]
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(s, dtype=torch.float64, generator=generator).to(dtype).requires_grad_()
        for s in shapes
    ]


def make_grads(params, steps, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return [
        [torch.randn(p.shape, dtype=torch.float64, generator=generator).to(p.dtype) for p in params]
        for _ in range(steps)
    ]


@pytest.mark.parametrize('flags', PATHS)
@pytest.mark.parametrize('maximize', [False, True])
def test_steps_equal_table_1_over_200_steps(flags, maximize):
    params = [torch.linspace(-1, 2, 7, dtype=torch.float64), torch.ones(())]
    params[1] = params[1].double()
    params = [p.requires_grad_() for p in params]
    before = [p.detach().clone() for p in params]
    grads = make_grads(params, 200)
    optimizer = AMM(params, weight_decay=0.1, maximize=maximize, **CONSTANT, **flags)
    path = take_steps(optimizer, params, grads)
    sign = -1 if maximize else 1
    for index, start in enumerate(before):
        for place in range(start.numel()):
            numbers = [sign * g[index].flatten()[place].item() for g in grads]
            expected = table_1(
                start.flatten()[place].item(),
                numbers,
                weight_decay=0.1,
                **CONSTANT,
            )
            got = [row[index].flatten()[place].item() for row in path]
            # fused and capturable hold a float32 step, exact up to 2^24
            assert got == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize('flags', PATHS)
def test_first_three_steps_equal_hand_worked_numbers(flags):
    # betas (1/2, 1/2), gradient 2, so m_hat = 2 and v_hat = 4 at each step.
    # delta 12: every Adam step is eta * 2 / sqrt(16) = 1/2 with eta 1.
    # alpha 1/2: P = 0.5, 0.75, 0.875; theta = 1 - 0.5, -0.25, -1.125.
    param = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = AMM([param], 1.0, (0.5, 0.5), 12.0, 0.5, **flags)
    path = take_steps(optimizer, [param], [[torch.full((1,), 2.0).double()]] * 3)
    assert [row[0].item() for row in path] == pytest.approx([0.5, -0.25, -1.125], abs=1e-14)


@pytest.mark.parametrize('flags', PATHS)
def test_momentum_zero_equals_adam_with_delta_inside_the_root(flags):
    params = make_params()[:2]
    start = [p.detach().clone() for p in params]
    grads = make_grads(params, 60)
    constant = {**CONSTANT, 'momentum': 0.0}
    path = take_steps(AMM(params, **constant, **flags), params, grads)
    beta1, beta2 = constant['betas']
    for index, theta in enumerate(start):
        m = v = torch.zeros_like(theta)
        for t, row in enumerate(grads, 1):
            m = beta1 * m + (1 - beta1) * row[index]
            v = beta2 * v + (1 - beta2) * row[index] ** 2
            root = (v / (1 - beta2**t) + constant['delta']).sqrt()
            theta = theta - constant['lr'] * m / (1 - beta1**t) / root
            torch.testing.assert_close(path[t - 1][index], theta, rtol=0, atol=1e-12)


@pytest.mark.parametrize('flags', PATHS)
def test_momentum_and_delta_zero_equal_torchs_adam(flags):
    """Without delta it does not matter that Adam's stands outside the root."""
    nets = [[p.detach().clone() for p in make_params()[:2]] for _ in range(2)]
    for net in nets:
        for param in net:
            param.requires_grad_()
    grads = make_grads(nets[0], 60)
    betas = (0.8, 0.99)
    ours = AMM(nets[0], 1e-2, betas, delta=0.0, momentum=0.0, **flags)
    adam = torch.optim.Adam(nets[1], 1e-2, betas, eps=0.0)
    paths = [take_steps(optimizer, net, grads) for optimizer, net in zip((ours, adam), nets)]
    torch.testing.assert_close(*paths, rtol=0, atol=1e-12)


def test_signature_is_the_documented_one():
    assert str(inspect.signature(AMM)).replace(' | ', '|') == (
        '(params, lr: float|torch.Tensor = 0.001, '
        'betas: tuple[float, float] = (0.9, 0.999), delta: float = 1e-08, '
        'momentum: float = 0.9, weight_decay: float = 0, *, '
        'foreach: bool|None = None, maximize: bool = False, '
        'capturable: bool = False, differentiable: bool = False, '
        'fused: bool|None = None) -> None'
    )


@needs_compiler
def test_fused_takes_a_tensor_rate_without_capturable():
    nets = [make_params() for _ in range(2)]
    grads = make_grads(nets[0], 5)
    rates = 1e-2, torch.tensor(1e-2, dtype=torch.float64)
    paths = [take_steps(AMM(net, lr, fused=True), net, grads) for net, lr in zip(nets, rates)]
    torch.testing.assert_close(*paths, rtol=0, atol=0)


def test_delta_stands_inside_the_root():
    param = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = AMM([param], lr=1.0, delta=1.0, momentum=0.0)
    take_steps(optimizer, [param], [[torch.ones(1).double()]])
    assert param.item() == pytest.approx(-1 / math.sqrt(2), abs=1e-14)


def test_steady_gradient_moves_by_ten_rates_a_step():
    param = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = AMM([param], lr=1e-3)
    path = take_steps(optimizer, [param], [[torch.ones(1).double()]] * 300)
    assert (path[-2][0] - path[-1][0]).item() == pytest.approx(1e-2, rel=1e-6)


def test_weight_decay_is_not_amplified_by_momentum():
    param = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = AMM([param], lr=0.1, weight_decay=0.5)
    take_steps(optimizer, [param], [[torch.zeros(1).double()]] * 4)
    assert param.item() == pytest.approx(0.95**4, abs=1e-15)
    assert optimizer.state[param]['momentum_buffer'].item() == 0


@pytest.mark.parametrize('flags', PATHS[2:])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16, torch.complex64])
def test_path_agrees_with_single_tensor(flags, dtype):
    if dtype.is_complex and flags.get('fused'):
        pytest.skip('fused takes real parameters, as in torch')
    first, second = make_params(dtype), make_params(dtype)
    grads = make_grads(first, 20)
    take_steps(AMM(first, foreach=False, **CONSTANT), first, grads)
    take_steps(AMM(second, **CONSTANT, **flags), second, grads)
    for a, b in zip(first, second):
        torch.testing.assert_close(a, b)


def test_foreach_equals_single_tensor_bit_for_bit():
    first, second = make_params(torch.float32), make_params(torch.float32)
    grads = make_grads(first, 20)
    take_steps(AMM(first, foreach=False, **CONSTANT), first, grads)
    take_steps(AMM(second, foreach=True, **CONSTANT), second, grads)
    assert all(torch.equal(a, b) for a, b in zip(first, second))


@pytest.mark.parametrize('flags', PATHS)
def test_complex_equals_its_two_real_parts(flags):
    if flags.get('fused'):
        pytest.skip('fused takes real parameters, as in torch')
    whole = torch.randn(4, dtype=torch.complex128, generator=torch.Generator().manual_seed(3))
    parts = torch.view_as_real(whole).clone().requires_grad_()
    whole.requires_grad_()
    grads = make_grads([whole], 10)
    take_steps(AMM([whole], **CONSTANT, **flags), [whole], grads)
    real = [[torch.view_as_real(row[0])] for row in grads]
    take_steps(AMM([parts], **CONSTANT, **flags), [parts], real)
    assert torch.equal(torch.view_as_real(whole), parts)


@pytest.mark.parametrize('flags', PATHS)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once_per_step(flags, dtype):
    # float16 holds neither delta 1e-8 nor a small squared gradient: the step
    # must still be the float32 one.
    start, grad = torch.tensor([1.0]), torch.tensor([0.5])
    wide = start.clone().requires_grad_()
    take_steps(AMM([wide], lr=0.1), [wide], [[grad]])
    narrow = start.to(dtype).requires_grad_()
    optimizer = AMM([narrow], lr=0.1, **flags)
    take_steps(optimizer, [narrow], [[grad.to(dtype)]])
    assert torch.equal(narrow, wide.to(dtype))
    zero = torch.zeros(1, dtype=dtype)
    take_steps(AMM([narrow], lr=0.1, **flags), [narrow], [[zero]] * 3)
    assert torch.isfinite(narrow).all()


def test_bias_tensors_keep_float32_precision():
    step = torch.arange(1, 200, dtype=torch.float32)
    sizes, offsets = bias_tensors(step, 0.9, 0.999, 1e-3, 1e-8)
    exact = [bias_scalars(t, 0.9, 0.999, 1e-3, 1e-8) for t in range(1, 200)]
    torch.testing.assert_close(
        torch.stack([sizes, offsets], 1),
        torch.tensor(exact),
        rtol=1e-6,
        atol=0,
    )


def test_beta_zero_is_allowed_on_every_path():
    for flags in ({}, dict(capturable=True), dict(foreach=True)):
        param = torch.zeros(1, requires_grad=True)
        optimizer = AMM([param], 0.1, (0, 0), momentum=0, **flags)
        take_steps(optimizer, [param], [[torch.ones(1)]])
        assert param.item() == pytest.approx(-0.1, rel=1e-6)


@pytest.mark.parametrize('flags', PATHS)
def test_params_without_gradient_stay(flags):
    params = make_params()[:3]
    before = params[1].detach().clone()
    optimizer = AMM(params, **flags)
    grads = make_grads(params, 1)[0]
    params[0].grad, params[2].grad = grads[0], grads[2]
    optimizer.step()
    assert torch.equal(params[1], before)
    assert params[1] not in optimizer.state
    params[1].grad = grads[1]
    optimizer.step()
    assert optimizer.state[params[1]]['step'] == 1
    assert optimizer.state[params[0]]['step'] == 2


@pytest.mark.parametrize('flags', PATHS)
def test_empty_group_and_step_without_gradients(flags):
    param = torch.ones(2, requires_grad=True)
    optimizer = AMM([dict(params=[]), dict(params=[param])], **flags)
    optimizer.step()
    assert torch.equal(param.detach(), torch.ones(2))


def test_sparse_gradient_raises():
    layer = nn.Embedding(4, 2, sparse=True)
    optimizer = AMM(layer.parameters())
    layer(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match='dense gradients.*SparseAdam'):
        optimizer.step()


def test_closure_runs_with_gradients_and_its_loss_is_returned():
    param = torch.tensor([3.0], requires_grad=True)
    optimizer = AMM([param], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9
    assert param.item() == pytest.approx(2.9, abs=1e-6)


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


def test_foreach_refuses_differentiable():
    param = torch.ones(1)
    with pytest.raises(RuntimeError, match='foreach or differentiable'):
        _multi_tensor_amm(
            [param], [param], [param], [param], [param], [param],
            capturable=False, differentiable=True,
        )  # fmt: skip


@pytest.mark.parametrize(
    'settings, text',
    [
        (dict(lr=-1.0), 'lr .*-1.0'),
        (dict(lr=math.nan), 'lr .*nan'),
        (dict(lr=math.inf), 'lr .*inf'),
        (dict(lr=True), 'lr .*True'),
        (dict(lr='0.1'), "lr .*'0.1'"),
        (dict(lr=1j), 'lr .*1j'),
        (dict(lr=None), 'lr .*None'),
        (dict(lr=torch.tensor([0.1, 0.2])), 'lr must be 1-element'),
        (dict(lr=torch.tensor(1)), 'lr must be 1-element and real'),
        (dict(lr=torch.tensor(-1.0)), 'lr .*-1.0'),
        (dict(lr=torch.tensor(math.nan)), 'lr .*nan'),
        (dict(lr=torch.tensor(0.1), foreach=True), 'lr as a Tensor.*0.1'),
        (dict(betas=0.9), 'betas .*0.9'),
        (dict(betas=(0.9,)), r'betas .*\(0.9,\)'),
        (dict(betas='ab'), "betas .*'ab'"),
        (dict(betas=(1.0, 0.9)), r'betas\[0\] .*1.0'),
        (dict(betas=(0.9, 1.0)), r'betas\[1\] .*1.0'),
        (dict(betas=(-0.1, 0.9)), r'betas\[0\] .*-0.1'),
        (dict(betas=(0.9, math.nan)), r'betas\[1\] .*nan'),
        (dict(betas=(0.9, None)), r'betas\[1\] .*None'),
        (dict(betas=(False, 0.9)), r'betas\[0\] .*False'),
        (dict(delta=-1e-8), 'delta .*-1e-08'),
        (dict(delta=math.nan), 'delta .*nan'),
        (dict(delta='x'), "delta .*'x'"),
        (dict(momentum=1.0), 'momentum .*1.0'),
        (dict(momentum=-0.1), 'momentum .*-0.1'),
        (dict(momentum=math.nan), 'momentum .*nan'),
        (dict(momentum=True), 'momentum .*True'),
        (dict(momentum=1j), 'momentum .*1j'),
        (dict(weight_decay=-1), 'weight_decay .*-1'),
        (dict(weight_decay=math.inf), 'weight_decay .*inf'),
        (dict(weight_decay=[0]), r'weight_decay .*\[0\]'),
        (dict(foreach=1), 'foreach .*1'),
        (dict(fused='yes'), "fused .*'yes'"),
        (dict(maximize=None), 'maximize .*None'),
        (dict(capturable=0), 'capturable .*0'),
        (dict(differentiable='no'), "differentiable .*'no'"),
    ],
)
def test_bad_setting_raises_with_name_and_value(settings, text):
    param = torch.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match=text):
        AMM([param], **settings)
    with pytest.raises(ValueError, match=text):
        AMM([dict(params=[param], **settings)])
    optimizer = AMM([param])
    other = torch.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match=text):
        optimizer.add_param_group(dict(params=[other], **settings))
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize('other', ['foreach', 'differentiable'])
def test_fused_excludes_other_paths(other):
    with pytest.raises(RuntimeError, match=f'fused or {other}'):
        AMM([torch.ones(1)], fused=True, **{other: True})


def test_fused_refuses_complex_parameters():
    with pytest.raises(RuntimeError, match='real floating point.*complex64'):
        AMM([torch.ones(1, dtype=torch.complex64)], fused=True)


def test_fused_without_compiler_says_what_to_do(monkeypatch):
    monkeypatch.setattr(amm_native, 'find_compiler', lambda: None)
    amm_native.load_kernel.cache_clear()
    try:
        with pytest.raises(RuntimeError, match='C compiler.*found none'):
            AMM([torch.ones(1)], fused=True)
    finally:
        amm_native.load_kernel.cache_clear()


def test_fused_with_broken_compiler_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv('CC', 'false')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    amm_native.load_kernel.cache_clear()
    try:
        with pytest.raises(RuntimeError, match='could not build its CPU ker'):
            AMM([torch.ones(1)], fused=True)
    finally:
        amm_native.load_kernel.cache_clear()
    assert not list((tmp_path / 'slnp_mm').iterdir())


@needs_compiler
def test_kernel_is_compiled_once_and_then_loaded(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    amm_native.load_kernel.cache_clear()
    try:
        amm_native.load_kernel()
        (made,) = (tmp_path / 'slnp_mm').iterdir()
        stamp = made.stat().st_mtime_ns
        amm_native.load_kernel.cache_clear()
        amm_native.load_kernel()
        assert made.stat().st_mtime_ns == stamp
    finally:
        amm_native.load_kernel.cache_clear()


@needs_compiler
def test_fused_takes_any_memory_order():
    base = torch.arange(48.0).reshape(2, 2, 3, 4)
    last = base.contiguous(memory_format=torch.channels_last)
    params = [
        base.clone(),
        last.clone(memory_format=torch.preserve_format),
        base.clone().transpose(1, 3),
        torch.zeros(2, 2, 3, 8)[..., ::2].copy_(base),
    ]
    params = [p.requires_grad_() for p in params]
    grads = [[torch.ones(p.shape) for p in params]] * 3
    take_steps(AMM(params, fused=True, **CONSTANT), params, grads)
    for param in (params[1], params[2].transpose(1, 3), params[3]):
        torch.testing.assert_close(param, params[0])


@needs_compiler
def test_fused_step_on_a_state_of_another_shape_raises():
    param = nn.Parameter(torch.ones(4))
    optimizer = AMM([param], fused=True)
    param.grad = torch.ones(4)
    optimizer.step()
    optimizer.state[param]['exp_avg'] = torch.zeros(2)
    with pytest.raises(RuntimeError, match='size'):
        optimizer.step()


@needs_compiler
def test_fused_step_raises_the_version_autograd_sees():
    param = torch.ones(3, requires_grad=True)
    product = (param * param).sum()
    optimizer = AMM([param], fused=True)
    param.grad = torch.ones(3)
    optimizer.step()
    with pytest.raises(RuntimeError, match='modified by an inplace'):
        product.backward()


@needs_compiler
def test_fused_result_does_not_depend_on_threads():
    results = []
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        params = make_params(torch.float32)
        grads = make_grads(params, 5)
        take_steps(AMM(params, fused=True), params, grads)
        results.append(params)
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results))


@pytest.mark.parametrize(
    'settings, adams_choice, expected',
    [
        ({}, False, 'single'),
        ({}, True, 'foreach'),
        (dict(lr=torch.tensor(0.1)), True, 'single'),
        (dict(lr=torch.tensor(0.1), capturable=True), True, 'foreach'),
        (dict(foreach=False), True, 'single'),
        (dict(fused=False), True, 'single'),
        (dict(foreach=True), False, 'foreach'),
        (dict(fused=True), False, 'fused'),
    ],
)
def test_path_is_chosen_as_adam_chooses(settings, adams_choice, expected, monkeypatch):
    called = []
    names = dict(
        single='_single_tensor_amm',
        foreach='_multi_tensor_amm',
        fused='_fused_amm',
    )
    for path, name in names.items():
        monkeypatch.setattr(
            amm_functional,
            name,
            lambda *args, path=path, **options: called.append(path),
        )
    monkeypatch.setattr(
        amm_functional,
        '_default_to_fused_or_foreach',
        lambda *args, **options: (False, adams_choice),
    )
    monkeypatch.setattr(amm_module, '_check_fused', lambda param: None)
    param = torch.ones(1, requires_grad=True)
    param.grad = torch.ones(1)
    AMM([param], **settings).step()
    assert called == [expected]


def through_file(state):
    """Save and load a state dict."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize('flags', PATHS)
def test_resumed_run_continues_bit_for_bit(flags):
    params = make_params(torch.float32)
    grads = make_grads(params, 10)
    optimizer = AMM(params, weight_decay=0.1, **CONSTANT, **flags)
    take_steps(optimizer, params, grads[:6])
    saved = through_file(optimizer.state_dict())
    resumed = [p.detach().clone().requires_grad_() for p in params]
    take_steps(optimizer, params, grads[6:])
    # Made with other settings and on another path: the file's count.
    other = AMM(resumed, lr=0.5, foreach=not flags.get('foreach', False))
    other.load_state_dict(saved)
    take_steps(other, resumed, grads[6:])
    assert all(torch.equal(a, b) for a, b in zip(params, resumed))


@pytest.mark.parametrize('flags', PATHS)
def test_state_moves_to_another_path_without_change(flags):
    params = make_params(torch.float32)
    grads = make_grads(params, 8)
    optimizer = AMM(params, foreach=False, **CONSTANT)
    take_steps(optimizer, params, grads[:4])
    saved = through_file(optimizer.state_dict())
    moved = [p.detach().clone().requires_grad_() for p in params]
    for group in saved['param_groups']:
        group.update({**amm_module.FLAGS, **flags})
    other = AMM(moved)
    other.load_state_dict(saved)
    for a, b in zip(params, moved):
        for key in ('step', *amm_module.STATE_KEYS):
            assert torch.equal(optimizer.state[a][key], other.state[b][key])
    take_steps(optimizer, params, grads[4:])
    take_steps(other, moved, grads[4:])
    for a, b in zip(params, moved):
        torch.testing.assert_close(a, b)


def test_state_of_an_older_version_is_filled_in():
    params = make_params(torch.float32)
    grads = make_grads(params, 6)
    optimizer = AMM(params, **CONSTANT)
    take_steps(optimizer, params, grads[:3])
    old = copy.deepcopy(optimizer.state_dict())
    for group in old['param_groups']:
        for name in (*amm_module.FLAGS, 'weight_decay'):
            del group[name]
    for entry in old['state'].values():
        entry['step'] = int(entry['step'])
    resumed = [p.detach().clone().requires_grad_() for p in params]
    other = AMM(resumed, **CONSTANT)
    other.load_state_dict(old)
    take_steps(optimizer, params, grads[3:])
    take_steps(other, resumed, grads[3:])
    assert all(torch.equal(a, b) for a, b in zip(params, resumed))
    assert isinstance(other.state[resumed[0]]['step'], torch.Tensor)


def test_step_counter_is_one_scalar_on_the_cpu():
    param = torch.ones(3, requires_grad=True)
    optimizer = AMM([param])
    take_steps(optimizer, [param], [[torch.ones(3)]] * 2)
    state = optimizer.state[param]
    assert set(state) == {'step', *amm_module.STATE_KEYS}
    step = state['step']
    assert step.shape == () and step.device.type == 'cpu' and step == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('flags', [{}, dict(capturable=True), dict(fused=True)])
def test_state_moved_to_the_gpu_keeps_step_where_it_belongs(flags):
    params = [torch.ones(3, device='cuda', requires_grad=True)]
    grads = [[torch.ones(3, device='cuda')]] * 2
    optimizer = AMM(params, **flags)
    take_steps(optimizer, params, grads)
    saved = optimizer.state_dict()
    for entry in saved['state'].values():
        entry['step'] = entry['step'].cuda()
    resumed = [params[0].detach().clone().requires_grad_()]
    other = AMM(resumed, **flags)
    other.load_state_dict(saved)
    expected = 'cuda' if flags else 'cpu'
    assert other.state[resumed[0]]['step'].device.type == expected
    take_steps(optimizer, params, grads)
    take_steps(other, resumed, grads)
    assert torch.equal(params[0], resumed[0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_step_is_captured_in_a_cuda_graph():
    param = torch.ones(3, device='cuda', requires_grad=True)
    check = torch.ones(3, requires_grad=True)
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
    torch.testing.assert_close(param.cpu(), check)


def test_registry_builds_amm():
    param = torch.ones(1, requires_grad=True)
    built = OPTIMIZERS.build(dict(type='AMM', params=[param], lr=0.1))
    assert type(built) is AMM and built.defaults['lr'] == 0.1


def test_deepcopy_continues_like_the_original():
    param = torch.ones(2, requires_grad=True)
    optimizer = AMM([param])
    take_steps(optimizer, [param], [[torch.ones(2)]])
    twin = copy.deepcopy(optimizer)
    (copied,) = twin.param_groups[0]['params']
    take_steps(optimizer, [param], [[torch.ones(2)]])
    take_steps(twin, [copied], [[torch.ones(2)]])
    assert torch.equal(param, copied)
