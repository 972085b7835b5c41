"""AMM's arithmetic, settings, state and what a CUDA graph needs of it."""

import copy
import inspect
import io
import math

import pytest
import torch
from mmagic.engine.optimizers import MultiOptimWrapperConstructor
from mmengine.registry import DefaultScope
from torch import nn
from torch.optim.lr_scheduler import StepLR

from slnp_mm.engine.optimizers import AMM
from slnp_mm.engine.optimizers import amm as amm_module

either = pytest.mark.parametrize('capturable', [False, True])
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
SETTINGS = dict(
    default={},
    tensor_lr=dict(lr=torch.tensor(0.001), capturable=True),
    weight_decay=dict(weight_decay=0.1),
    maximize=dict(weight_decay=0.1, maximize=True),
    capturable=dict(capturable=True),
    no_momentum=dict(momentum=0.0),
    delta=dict(delta=1e-3, betas=(0.5, 0.9)),
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


@either
@pytest.mark.parametrize('maximize', [False, True])
@pytest.mark.parametrize('momentum', [0.0, 0.7])
def test_steps_equal_table_1_over_200_steps(capturable, maximize, momentum):
    params = make_params(shapes=((7,), ()))
    before = copies(params)
    grads = make_grads(params, 200)
    settings = {**CONSTANT, 'momentum': momentum, 'weight_decay': 0.1}
    optimizer = AMM(params, maximize=maximize, capturable=capturable, **settings)
    path = take_steps(optimizer, params, grads)
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


@either
@pytest.mark.parametrize('settings, start, grads, expected', HAND_WORKED.values(), ids=HAND_WORKED)
def test_last_steps_equal_hand_worked_numbers(capturable, settings, start, grads, expected):
    param = torch.tensor([start], dtype=torch.float64, requires_grad=True)
    rows = [[torch.tensor([g], dtype=torch.float64)] for g in grads]
    path = take_steps(AMM([param], capturable=capturable, **settings), [param], rows)
    assert torch.cat([p for (p,) in path]).tolist()[-len(expected) :] == pytest.approx(
        expected, rel=0, abs=1e-12
    )


@either
def test_momentum_and_delta_zero_equal_torchs_adam(capturable):
    """Without delta it does not matter that Adam's stands outside the root."""
    ours = make_params()
    adams = copies(ours)
    grads = make_grads(ours, 60)
    settings = dict(delta=0.0, momentum=0.0, capturable=capturable)
    optimizer = AMM(ours, 1e-2, (0.8, 0.99), **settings)
    adam = torch.optim.Adam(adams, 1e-2, (0.8, 0.99), eps=0.0)
    paths = take_steps(optimizer, ours, grads), take_steps(adam, adams, grads)
    torch.testing.assert_close(*paths, rtol=0, atol=1e-12)


def test_float32_steps_equal_a_plain_loop_bit_for_bit():
    """Tensor after tensor, with the folded bias corrections as Python numbers."""
    params = make_params(torch.float32)
    loop = [[p, *(torch.zeros_like(p) for _ in range(3))] for p in copies(params)]
    grads = make_grads(params, 20)
    settings = dict(weight_decay=0.1, **CONSTANT)
    take_steps(AMM(params, **settings), params, grads)
    beta1, beta2 = CONSTANT['betas']
    for t, row in enumerate(grads, 1):
        step_size, offset = amm_module._fold_bias(float(t), CONSTANT['lr'], settings)
        for (param, m, v, update), grad in zip(loop, row):
            param.data.mul_(1 - CONSTANT['lr'] * 0.1)
            m.data.lerp_(grad, 1 - beta1)
            v.data.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            root = (v.data + offset).sqrt_()
            update.data.mul_(CONSTANT['momentum']).addcdiv_(m.data, root, value=step_size)
            param.data.sub_(update.data)
    assert same(params, [param for param, *_ in loop])


@either
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once_per_step(capturable, dtype):
    # float16 holds neither delta 1e-8 nor a small squared gradient: still the float32 step
    wide, grad = torch.tensor([1.0], requires_grad=True), torch.tensor([0.5])
    (narrow,) = copies([wide.to(dtype)])
    settings = dict(lr=0.1, capturable=capturable)
    take_steps(AMM([wide], **settings), [wide], [[grad]])
    take_steps(AMM([narrow], **settings), [narrow], [[grad.to(dtype)]])
    assert torch.equal(narrow, wide.to(dtype))
    take_steps(AMM([narrow], **settings), [narrow], [[torch.zeros(1, dtype=dtype)]] * 3)
    assert torch.isfinite(narrow).all()


def test_bias_folded_on_tensors_keeps_float32_precision():
    group = dict(betas=(0.9, 0.999), delta=1e-8)
    folded = amm_module._fold_bias(torch.arange(1.0, 200.0), 1e-3, group)
    exact = [amm_module._fold_bias(t, 1e-3, group) for t in range(1, 200)]
    torch.testing.assert_close(torch.stack(folded, 1), torch.tensor(exact), rtol=1e-6, atol=0)


@either
def test_params_without_gradient_stay(capturable):
    first, second = make_params(shapes=((2, 3), ()))
    before = second.detach().clone()
    optimizer = AMM([dict(params=[]), dict(params=[first, second])], capturable=capturable)
    optimizer.step()
    first.grad = torch.ones_like(first)
    optimizer.step()
    assert torch.equal(second, before) and second not in optimizer.state
    # now one at its second step, one at its first
    second.grad = torch.ones_like(second)
    optimizer.step()
    assert optimizer.state[second]['step'] == 1 and optimizer.state[first]['step'] == 2
    (want,) = table_1(before.item(), [1.0], 1e-3, (0.9, 0.999), 1e-8, 0.9)
    assert second.item() == pytest.approx(want, rel=1e-12)
    state = optimizer.state[first]
    assert set(state) == {'step', 'exp_avg', 'exp_avg_sq', 'momentum_buffer'}
    assert state['step'].shape == () and state['step'].device.type == 'cpu'


def test_non_contiguous_and_empty_parameters_step():
    params = [torch.empty(0, 3), torch.randn(10, 5).t(), torch.randn(10, 2)[..., 0]]
    params = [p.requires_grad_() for p in params]
    before = copies(params)
    take_steps(AMM(params), params, [[torch.ones_like(p) for p in params]])
    assert all((a - b).allclose(torch.tensor(1e-3), atol=1e-6) for a, b in zip(before, params))


# Settings


def test_signature_is_the_documented_one():
    assert str(inspect.signature(AMM)).replace(' | ', '|') == (
        '(params, lr: float|torch.Tensor = 0.001, betas: tuple[float, float] = (0.9, 0.999), '
        'delta: float = 1e-08, momentum: float = 0.9, weight_decay: float = 0, *, '
        'maximize: bool = False, capturable: bool = False) -> None'
    )


BAD_SETTINGS = [
    *((dict(lr=bad), f'lr .*{bad!r}') for bad in (-1.0, math.nan, math.inf, True, '0.1', 1j, None)),
    (dict(lr=torch.tensor([0.1, 0.2])), 'lr must be 1-element'),
    (dict(lr=torch.tensor(1)), 'lr must be 1-element and real'),
    (dict(lr=torch.tensor(-1.0)), 'lr .*-1.0'),
    (dict(lr=torch.tensor(math.nan)), 'lr .*nan'),
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
    (dict(maximize=None), 'maximize to be True or False, but got None'),
    (dict(capturable=0), 'capturable .*0'),
]


@pytest.mark.parametrize('settings, text', BAD_SETTINGS)
def test_bad_setting_raises_with_name_and_value(settings, text):
    param, other = (torch.ones(1, requires_grad=True) for _ in range(2))
    with pytest.raises(ValueError, match=text):
        AMM([param], **settings)
    with pytest.raises(ValueError, match=text):
        AMM([dict(params=[param], **settings)])
    optimizer = AMM([param])
    with pytest.raises(ValueError, match=text):
        optimizer.add_param_group(dict(params=[other], **settings))
    assert len(optimizer.param_groups) == 1


def test_sparse_gradient_raises():
    layer = nn.Embedding(4, 2, sparse=True)
    optimizer = AMM(layer.parameters())
    layer(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match='dense gradients.*SparseAdam'):
        optimizer.step()


def test_complex_parameter_raises():
    (param,) = params = make_params(torch.complex64, [(4,)])
    with pytest.raises(RuntimeError, match='real parameters.*complex'):
        take_steps(AMM(params), params, [[torch.ones_like(param)]])


# State


@pytest.mark.parametrize('kwargs', SETTINGS.values(), ids=SETTINGS)
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
    other = AMM(resumed, lr=0.5, capturable=not kwargs.get('capturable'))
    other.load_state_dict(torch.load(file, weights_only=True))
    twin = copy.deepcopy(optimizer)
    copied = twin.param_groups[0]['params']
    for one, its in ((optimizer, params), (other, resumed), (twin, copied)):
        take_steps(one, its, grads[6:])
    assert same(params, resumed) and same(params, copied)
    assert repr(other.state_dict()) == repr(optimizer.state_dict())


@pytest.mark.parametrize('missing', [(), ('capturable',), ('maximize', 'weight_decay')])
def test_state_of_another_version_is_filled_in_or_cut(missing):
    params = make_params(torch.float32)
    grads = make_grads(params, 6)
    optimizer = AMM(params, **CONSTANT)
    take_steps(optimizer, params, grads[:3])
    old, resumed = copy.deepcopy(optimizer.state_dict()), copies(params)
    for name in missing:
        del old['param_groups'][0][name]
    old['param_groups'][0].update(fused=None, foreach=False, differentiable=False)
    for entry in old['state'].values():
        entry['step'] = int(entry['step'])
    other = AMM(resumed, **CONSTANT)
    other.load_state_dict(old)
    take_steps(optimizer, params, grads[3:])
    take_steps(other, resumed, grads[3:])
    assert same(params, resumed)
    assert other.param_groups[0].keys() == optimizer.param_groups[0].keys()
    assert isinstance(other.state[resumed[0]]['step'], torch.Tensor)


# In training


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def loss_of(net, device='cpu'):
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)).to(device)
    return ((net(inputs) - inputs.sum(1, keepdim=True)) ** 2).mean()


def train(net, optimizer, steps=3, after=lambda: None, device='cpu'):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(net, device).backward()
        optimizer.step()
        after()
    return list(net.parameters())


def test_closure_is_evaluated_with_gradients_and_its_loss_returned():
    net, plain = small_net(), small_net()
    optimizer = AMM(net.parameters(), lr=0.01)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(net)
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == loss_of(plain).item()
    assert same(net.parameters(), train(plain, AMM(plain.parameters(), lr=0.01), 1))


@either
def test_rate_as_a_tensor_equals_the_number_and_can_be_scheduled(capturable):
    results = []
    for lr in (0.01, torch.tensor([0.01])):
        net = small_net()
        optimizer = AMM(net.parameters(), lr=lr, capturable=capturable)
        results.append(train(net, optimizer, 5, StepLR(optimizer, 2, 0.5).step))
    torch.testing.assert_close(*results)


def test_grad_scaler_skips_a_step_with_infinite_gradients():
    net, plain = small_net(), small_net()
    optimizer = AMM(net.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler('cpu', init_scale=4.0)
    scaler.scale(loss_of(net)).backward()
    net[0].weight.grad[0, 0] = float('inf')
    scaler.step(optimizer)
    scaler.update()
    assert same(net.parameters(), plain.parameters()) and scaler.get_scale() == 2
    optimizer.zero_grad()
    scaler.scale(loss_of(net)).backward()
    scaler.step(optimizer)
    reference = AMM(plain.parameters(), lr=0.01)
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


# What compilation and CUDA graphs need


def test_captured_step_reads_nothing_and_keeps_its_tensors():
    """Meta tensors have no values: a step that asks for one raises."""
    net = small_net().to('meta')
    lr = torch.tensor(0.01, device='meta')
    with pytest.raises(RuntimeError, match='meta'):
        lr.item()
    optimizer = AMM([nn.Parameter(torch.ones(2, 3, device='meta'))])
    optimizer.add_param_group(dict(params=net.parameters(), weight_decay=0.1))
    for group in optimizer.param_groups:
        group.update(capturable=True, lr=lr)
        for param in group['params']:
            param.grad = torch.ones_like(param)
    optimizer.step()
    kept = [id(x) for state in optimizer.state.values() for x in state.values()]
    optimizer.step()
    assert kept == [id(x) for state in optimizer.state.values() for x in state.values()]


def test_captured_step_obeys_a_rate_changed_in_place():
    """As a replay does: the same tensors, another value."""
    param, rate = torch.zeros(1, dtype=torch.float64, requires_grad=True), torch.tensor(0.1)
    optimizer = AMM([param], lr=rate, betas=(0, 0), delta=0, momentum=0, capturable=True)
    state = None
    for lr, expected in ((0.1, -0.1), (0.5, -0.6)):
        rate.fill_(lr)
        take_steps(optimizer, [param], [[torch.ones(1, dtype=torch.float64)]])
        assert param.item() == pytest.approx(expected, rel=1e-6)
        pointers = {key: value.data_ptr() for key, value in optimizer.state[param].items()}
        assert state in (None, pointers)
        state = pointers


@pytest.mark.parametrize('first', [True, False])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize('delta', [1e-8, 0])
def test_step_to_skip_changes_no_bit(first, dtype, delta):
    """Whatever its gradients are; the next one is as if it had not been."""
    flags = dict(lr=torch.tensor(0.01), weight_decay=0.1, capturable=True)
    pair = [[torch.full((2, 3), 0.5, dtype=dtype, requires_grad=True)] for _ in range(2)]
    one, two = (AMM(params, delta=delta, **flags) for params in pair)
    for optimizer in (one, two):
        optimizer.found_inf = torch.tensor(False)
    for step in range(4):
        if step == (0 if first else 2):
            before = pair[0][0].detach().clone()
            old = copy.deepcopy(one.state_dict()['state'])
            for value in (math.nan, math.inf, 3.0):
                one.found_inf.fill_(True)
                take_steps(one, pair[0], [[torch.full((2, 3), value, dtype=dtype)]])
                assert pair[0][0].equal(before)
                new = one.state_dict()['state'].get(0, {})
                want = old.get(0, {key: torch.zeros(()) for key in new})
                assert all((new[key] == want[key]).all() for key in want)
            one.found_inf.fill_(False)
        grad = [[torch.full((2, 3), 1.0 - 0.5 * step, dtype=dtype)]]
        take_steps(one, pair[0], grad)
        take_steps(two, pair[1], grad)
    assert pair[0][0].equal(pair[1][0]) and not pair[0][0].equal(torch.full((2, 3), 0.5))


def test_step_with_a_flag_is_the_same_step():
    """As without it; m may round differently."""
    flags = dict(lr=0.01, betas=(0.9, 0.99), weight_decay=0.1, capturable=True)
    grads = [[torch.randn(3, dtype=torch.float64)] for _ in range(5)]
    found = []
    for flag in (None, torch.tensor(False)):
        params = [torch.ones(3, dtype=torch.float64, requires_grad=True)]
        optimizer = AMM(params, **flags)
        optimizer.found_inf = flag
        found.append(take_steps(optimizer, params, grads))
    torch.testing.assert_close(*found, rtol=1e-12, atol=0)


# On a GPU


@pytest.mark.gpu
@needs_gpu
@either
def test_gpu_equals_cpu(capturable):
    nets = small_net(), small_net().cuda()
    slow = train(nets[0], AMM(nets[0].parameters(), lr=0.01), 5)
    optimizer = AMM(nets[1].parameters(), lr=0.01, capturable=capturable)
    fast = train(nets[1], optimizer, 5, device='cuda')
    torch.testing.assert_close(slow, [p.cpu() for p in fast], rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@needs_gpu
@either
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
def test_captured_graph_steps_and_follows_the_rate():
    param, check = torch.ones(3, device='cuda', requires_grad=True), torch.ones(3)
    param.grad, check.grad = torch.ones(3, device='cuda'), torch.ones(3)
    rate = torch.tensor(1e-3, device='cuda')
    optimizer, plain = AMM([param], lr=rate, capturable=True), AMM([check])
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            optimizer.step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()
    for step in range(8):
        if step == 5:
            rate.fill_(5e-3)
            plain.param_groups[0]['lr'] = 5e-3
        if step >= 3:
            graph.replay()
        plain.step()
    torch.testing.assert_close(param.detach().cpu(), check)
