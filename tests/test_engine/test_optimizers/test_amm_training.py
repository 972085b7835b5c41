"""AMM converges, and works with mmengine, DDP and torch.compile."""

import functools

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmagic.engine.optimizers import MultiOptimWrapperConstructor
from mmengine.optim import (
    AmpOptimWrapper,
    CosineAnnealingLR,
    LinearLR,
    OptimWrapper,
    build_optim_wrapper,
)
from mmengine.registry import DefaultScope
from torch import nn

from slnp_mm.engine.optimizers import AMM, amm_functional, amm_native

COMPILER = amm_native.find_compiler() is not None
PATHS = [{}, dict(foreach=True)] + ([dict(fused=True)] if COMPILER else [])


@pytest.fixture
def mmagic_scope():
    with DefaultScope.overwrite_default_scope('mmagic'):
        yield


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def data(count=8):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, 3, generator=generator)
    return inputs, inputs.sum(1, keepdim=True)


def loss_of(net, inputs, targets):
    return ((net(inputs) - targets) ** 2).mean()


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))


@pytest.mark.parametrize('flags', PATHS)
def test_quadratic_bowl_reaches_its_minimum(flags):
    param = torch.tensor([5.0, -3.0], requires_grad=True)
    scale = torch.tensor([1.0, 50.0])
    optimizer = AMM([param], lr=0.02, **flags)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    for _ in range(800):
        optimizer.zero_grad()
        (scale * (param - 1) ** 2).sum().backward()
        optimizer.step()
        decay.step()
    torch.testing.assert_close(param.detach(), torch.ones(2), atol=1e-3, rtol=0)


@pytest.mark.parametrize('flags', PATHS)
def test_rosenbrock_reaches_its_minimum(flags):
    param = torch.tensor([-1.5, 1.5], dtype=torch.float64, requires_grad=True)
    # With beta1 = 0.9 too, two momenta in a row swing across the valley.
    optimizer = AMM([param], lr=3e-3, betas=(0, 0.999), **flags)
    for _ in range(3000):
        optimizer.zero_grad()
        x, y = param
        ((1 - x) ** 2 + 100 * (y - x**2) ** 2).backward()
        optimizer.step()
    torch.testing.assert_close(param.detach(), torch.ones(2).double(), atol=4e-2, rtol=0)


def test_maximize_climbs():
    param = torch.tensor([2.0], requires_grad=True)
    optimizer = AMM([param], lr=0.01, maximize=True)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    for _ in range(600):
        optimizer.zero_grad()
        (-((param - 1) ** 2)).sum().backward()
        optimizer.step()
        decay.step()
    assert param.item() == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize('flags', PATHS)
def test_noisy_problem_converges_to_its_mean(flags):
    generator = torch.Generator().manual_seed(0)
    target = torch.linspace(-1, 1, 10)
    param = torch.zeros(10, requires_grad=True)
    optimizer = AMM([param], lr=1e-2, **flags)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.995)
    for _ in range(1500):
        noise = torch.randn(10, generator=generator)
        param.grad = param.detach() - target + noise
        optimizer.step()
        decay.step()
    assert (param.detach() - target).abs().max() < 0.15


def test_tensor_lr_equals_number_and_can_be_scheduled():
    nets = small_net(), small_net()
    optimizers = [
        AMM(nets[0].parameters(), lr=0.01),
        AMM(nets[1].parameters(), lr=torch.tensor([0.01])),
    ]
    for net, optimizer in zip(nets, optimizers):
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
        for _ in range(5):
            optimizer.zero_grad()
            loss_of(net, *data()).backward()
            optimizer.step()
            scheduler.step()
    for a, b in zip(nets[0].parameters(), nets[1].parameters()):
        torch.testing.assert_close(a, b)


def test_optim_wrapper_equals_plain_steps():
    plain, wrapped = small_net(), small_net()
    optimizer = AMM(plain.parameters(), lr=0.01)
    wrapper = OptimWrapper(AMM(wrapped.parameters(), lr=0.01))
    for _ in range(4):
        optimizer.zero_grad()
        loss_of(plain, *data()).backward()
        optimizer.step()
        wrapper.update_params(loss_of(wrapped, *data()))
    assert same(plain, wrapped)


def test_accumulation_equals_one_large_batch():
    large, parts = small_net(), small_net()
    inputs, targets = data(8)
    optimizer = AMM(large.parameters(), lr=0.01)
    wrapper = OptimWrapper(AMM(parts.parameters(), lr=0.01), accumulative_counts=2)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(large, inputs, targets).backward()
        optimizer.step()
        for half in (slice(0, 4), slice(4, 8)):
            with wrapper.optim_context(parts):
                loss = loss_of(parts, inputs[half], targets[half])
            wrapper.update_params(loss)
    for a, b in zip(large.parameters(), parts.parameters()):
        torch.testing.assert_close(a, b)
    assert wrapper.optimizer.state[next(parts.parameters())]['step'] == 3


def test_clipping_acts_before_the_step():
    net = small_net()
    wrapper = OptimWrapper(AMM(net.parameters(), lr=0.01), clip_grad=dict(max_norm=1e-3))
    wrapper.update_params(loss_of(net, *data()))
    firsts = [s['exp_avg'] for s in wrapper.optimizer.state.values()]
    norm = torch.cat([m.flatten() for m in firsts]).norm().item()
    assert norm == pytest.approx(0.1 * 1e-3, rel=1e-3)


@pytest.mark.parametrize('flags', PATHS)
def test_amp_wrapper_trains_in_bfloat16(flags, monkeypatch):
    net = small_net()
    optimizer = AMM(net.parameters(), lr=0.01, **flags)
    # mmengine asks for a GPU; the CPU's scaler and casts do the same.
    module = 'mmengine.optim.optimizer.amp_optimizer_wrapper.'
    monkeypatch.setattr(module + 'is_cuda_available', lambda: True)
    scaler = functools.partial(torch.amp.GradScaler, 'cpu')
    monkeypatch.setattr(module + 'GradScaler', scaler)
    wrapper = AmpOptimWrapper(optimizer=optimizer, dtype='bfloat16')
    before = loss_of(net, *data()).item()
    for _ in range(30):
        with torch.autocast('cpu', dtype=torch.bfloat16):
            loss = loss_of(net, *data())
        wrapper.update_params(loss)
    assert loss_of(net, *data()).item() < 0.5 * before
    assert wrapper.optimizer.state[net[0].weight]['step'] == 30


@pytest.mark.parametrize('flags', PATHS)
def test_grad_scaler_skips_a_step_with_infinite_gradients(flags):
    net, plain = small_net(), small_net()
    optimizer = AMM(net.parameters(), lr=0.01, **flags)
    scaler = torch.amp.GradScaler('cpu', init_scale=4.0)
    scaler.scale(loss_of(net, *data())).backward()
    net[0].weight.grad[0, 0] = float('inf')
    scaler.step(optimizer)
    scaler.update()
    assert same(net, plain) and scaler.get_scale() == 2
    optimizer.zero_grad()
    scaler.scale(loss_of(net, *data())).backward()
    scaler.step(optimizer)
    reference = AMM(plain.parameters(), lr=0.01, **flags)
    loss_of(plain, *data()).backward()
    reference.step()
    assert same(net, plain)


@pytest.mark.usefixtures('mmagic_scope')
def test_paramwise_cfg_sets_group_options():
    net = small_net()
    wrapper = build_optim_wrapper(
        net,
        dict(
            optimizer=dict(type='AMM', lr=0.1, weight_decay=0.2),
            paramwise_cfg=dict(
                bias_decay_mult=0.0,
                custom_keys={'2.weight': dict(lr_mult=0.5)},
            ),
        ),
    )
    assert type(wrapper.optimizer) is AMM
    options = {
        id(p): (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    assert options[id(net[0].weight)] == (0.1, 0.2)
    assert options[id(net[0].bias)] == (0.1, 0.0)
    assert options[id(net[2].weight)] == (0.05, 0.2)
    wrapper.update_params(loss_of(net, *data()))


@pytest.mark.usefixtures('mmagic_scope')
def test_multi_optim_wrapper_gives_each_network_its_rate():
    model = nn.Module()
    model.generator, model.discriminator = small_net(), small_net()
    wrappers = MultiOptimWrapperConstructor(
        dict(
            generator=dict(optimizer=dict(type='AMM', lr=1e-4)),
            discriminator=dict(optimizer=dict(type='AMM', lr=4e-4)),
        )
    )(model)
    for name, rate in (('generator', 1e-4), ('discriminator', 4e-4)):
        net, optimizer = getattr(model, name), wrappers[name].optimizer
        assert type(optimizer) is AMM
        before = net[0].weight.detach().clone()
        wrappers[name].update_params(loss_of(net, *data()))
        moved = (net[0].weight - before).abs().max().item()
        assert moved == pytest.approx(rate, rel=1e-2)


def test_mmengine_schedulers_set_the_rate():
    net = small_net()
    wrapper = OptimWrapper(AMM(net.parameters(), lr=0.1))
    schedulers = [
        LinearLR(wrapper, start_factor=0.1, by_epoch=False, end=5),
        CosineAnnealingLR(wrapper, T_max=5, by_epoch=False, begin=5, end=10),
    ]
    rates = []
    for _ in range(10):
        wrapper.update_params(loss_of(net, *data()))
        rates.append(wrapper.get_lr()['lr'][0])
        for scheduler in schedulers:
            scheduler.step()
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(0.1) and rates[-1] < 0.02


def _train_rank(rank, address, results):
    """Train one of two DDP ranks on its half of the data."""
    dist.init_process_group('gloo', init_method=address, rank=rank, world_size=2)
    torch.set_num_threads(1)
    net = nn.parallel.DistributedDataParallel(small_net())
    optimizer = AMM(net.parameters(), lr=0.01)
    inputs, targets = data(8)
    half = slice(4 * rank, 4 * rank + 4)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(net, inputs[half], targets[half]).backward()
        optimizer.step()
    torch.save(net.module.state_dict(), f'{results}/{rank}.pth')
    dist.destroy_process_group()


def test_two_ddp_processes_equal_one(tmp_path):
    if torch.cuda.is_initialized():
        pytest.skip('a process that has used CUDA cannot be forked')
    mp.start_processes(
        _train_rank,
        (f'file://{tmp_path}/meeting', str(tmp_path)),
        nprocs=2,
        start_method='fork',
    )
    net = small_net()
    optimizer = AMM(net.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(net, *data(8)).backward()
        optimizer.step()
    ranks = [torch.load(tmp_path / f'{rank}.pth') for rank in range(2)]
    for key, value in net.state_dict().items():
        assert torch.equal(ranks[0][key], ranks[1][key])
        torch.testing.assert_close(ranks[0][key], value)


@pytest.mark.parametrize(
    'flags',
    [
        dict(foreach=True),
        dict(foreach=False),
        dict(capturable=True, foreach=True),
    ],
)
def test_step_is_one_graph_for_dynamo(flags):
    torch._dynamo.reset()
    nets = small_net(), small_net()
    optimizers = [AMM(net.parameters(), lr=0.01, **flags) for net in nets]
    compiled = torch.compile(optimizers[1].step, backend='aot_eager')
    for _ in range(4):
        for net, step in zip(nets, (optimizers[0].step, compiled)):
            net.zero_grad()
            loss_of(net, *data()).backward()
            step()
    for a, b in zip(nets[0].parameters(), nets[1].parameters()):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
@pytest.mark.skipif(not COMPILER, reason='needs a compiler')
def test_compiled_step_equals_the_eager_one():
    torch._dynamo.reset()
    torch.manual_seed(0)
    params = [torch.ones(3, requires_grad=True) for _ in range(2)]
    eager, other = (AMM([p], lr=0.01, foreach=True) for p in params)
    # precompiled headers and a pool of compilers take longer than one kernel
    with torch._inductor.config.patch(cpp_cache_precompile_headers=False, compile_threads=1):
        steps = eager.step, torch.compile(other.step)
        for param, step in zip(params, steps):
            for number in range(3):
                param.grad = torch.full((3,), 1.0 + number)
                step()
    torch.testing.assert_close(*params)


def test_compiled_update_of_the_accelerator_path_equals_foreach(monkeypatch):
    # fused=True on an accelerator runs this function; here it is traced in
    # the same way, without the compiler behind.
    torch._dynamo.reset()
    compile_it = functools.partial(torch.compile, backend='aot_eager')
    monkeypatch.setattr(torch, 'compile', compile_it)
    make = amm_functional._compiled_multi_tensor.__wrapped__
    results = []
    for function in (
        amm_functional._multi_tensor_amm,
        make(),
    ):
        generator = torch.Generator().manual_seed(0)
        params = [torch.ones(3), torch.ones(2, 2)]
        states = [[torch.zeros_like(p) for p in params] for _ in range(3)]
        steps = [torch.zeros(()) for _ in params]
        for rate in (0.1, 0.05, 0.01):
            grads = [torch.randn(p.shape, generator=generator) for p in params]
            function(
                params, grads, *states, steps, lr=torch.tensor(rate),
                beta1=0.9, beta2=0.999, delta=1e-8, alpha=0.9,
                weight_decay=0.1, maximize=True, capturable=True,
                differentiable=False,
            )  # fmt: skip
        results.append(params)
    for a, b in zip(*results):
        torch.testing.assert_close(a, b)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize(
    'flags', [{}, dict(foreach=False), dict(capturable=True), dict(fused=True)]
)
def test_gpu_equals_cpu(flags):
    nets = small_net(), small_net().cuda()
    optimizers = [
        AMM(nets[0].parameters(), lr=0.01),
        AMM(nets[1].parameters(), lr=0.01, **flags),
    ]
    inputs, targets = data()
    for _ in range(5):
        for net, optimizer, device in zip(nets, optimizers, ('cpu', 'cuda')):
            net.zero_grad()
            loss_of(net, inputs.to(device), targets.to(device)).backward()
            optimizer.step()
    for a, b in zip(nets[0].parameters(), nets[1].parameters()):
        torch.testing.assert_close(a, b.cpu(), rtol=1e-4, atol=1e-5)
