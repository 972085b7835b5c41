"""A captured step, on the CPU: a stand-in for CUDA's graphs repeats the recorded calls.

As with CUDA, what runs again are the calls with their numbers and on their tensors; the Python
around them does not.
"""

import contextlib
import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from slnp_mm.engine.cuda_graph import SLOTS, WARMUP, SLNPCUDAGraphHook, graph_training, pad_slots
from slnp_mm.engine.hooks.slnp_watch_hook import StepGuard
from slnp_mm.engine.optimizers import AMM, SLNPBF16OptimWrapper
from slnp_mm.errors import SLNPError


def tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class Recording(TorchDispatchMode):
    """The calls of a step: what a CUDA graph holds."""

    def __init__(self):
        super().__init__()
        self.calls, self.before, self.own = [], [], set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        assert func is not torch.ops.aten._local_scalar_dense.default, 'reads a value'
        for spec, arg in zip(func._schema.arguments, args):
            if spec.alias_info is not None and spec.alias_info.is_write:
                foreign = [x for x in tensors(arg) if x.untyped_storage()._cdata not in self.own]
                self.before += [(x, x.detach().clone()) for x in foreign]
        out = func(*args, **kwargs)
        aliases = [x.alias_info for x in func._schema.returns if x.alias_info is not None]
        if not aliases:
            self.own.update(x.untyped_storage()._cdata for x in tensors(out))
        if func.namespace == 'aten' and all(alias.is_write for alias in aliases):  # no view
            self.calls.append((func, args, kwargs, [] if aliases else tensors(out)))
        return out

    @torch.no_grad()
    def undo(self):
        """A capture runs nothing: what stood before it stands after it."""
        for tensor, value in reversed(self.before):
            tensor.copy_(value)

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, outs in self.calls:
            for old, new in zip(outs, tensors(func(*args, **kwargs))):
                old.copy_(new)


class Capture(contextlib.AbstractContextManager):
    """``torch.cuda.graph``."""

    def __init__(self, graph, **options):
        self.recording = graph

    def __enter__(self):
        self.random = torch.get_rng_state()
        self.recording.__enter__()

    def __exit__(self, *failure):
        self.recording.__exit__(*failure)
        self.recording.undo()
        torch.set_rng_state(self.random)


class Stream:
    def wait_stream(self, other):
        pass


@pytest.fixture
def cuda(monkeypatch):
    """Stand-ins; returns the list of captured graphs."""
    graphs = []

    def make():
        graphs.append(Recording())
        return graphs[-1]

    monkeypatch.setattr(torch.cuda, 'CUDAGraph', make)
    monkeypatch.setattr(torch.cuda, 'graph', Capture)
    monkeypatch.setattr(torch.cuda, 'Stream', Stream)
    monkeypatch.setattr(torch.cuda, 'current_stream', Stream)
    monkeypatch.setattr(torch.cuda, 'stream', contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, 'graph_pool_handle', lambda: None)
    return graphs


@pytest.fixture
def make(tools):
    """Tiny model with all that the plus configs have, its optimizers and their guards."""

    def build(device='cpu', amp=False):
        model = tools.plus_model().to(device)
        kind = SLNPBF16OptimWrapper if amp else OptimWrapper
        wrappers = OptimWrapperDict(
            **{
                name: kind(AMM(getattr(model, name).parameters(), lr=1e-3, betas=(0.5, 0.99)))
                for name in ('generator', 'discriminator')
            }
        )
        return model, wrappers, [StepGuard(wrapper) for wrapper in wrappers.values()]

    return build


def batch(tools, seed, slots=SLOTS):
    """As the loader gives it, with padded slots."""
    data = tools.make_data(size=32, seed=seed)
    for item in data['inputs']:
        labels = item['instance_labels']
        empty = labels.new_full((slots - len(labels),), -1)
        item['instance_labels'] = torch.cat([labels, empty])
    return data


def train(model, wrappers, guards, tools, steps=8):
    """Logged values, rates falling; NaN from the prior in step 5; another size in 4 and from 6."""
    logged, noise_std = [], model.noise_prior.code_stds.clone()
    for step in range(steps):
        torch.manual_seed(step)
        for wrapper in wrappers.values():
            wrapper.optimizer.param_groups[0]['lr'] = 1e-3 * 0.8**step
        model.noise_prior.code_stds.copy_(noise_std * (float('nan') if step == 5 else 1))
        slots = 2 * SLOTS if step == 4 else SLOTS
        values = model.train_step(batch(tools, step % 3, slots), wrappers)
        skipped = [bool(guard.skipped) for guard in guards]
        logged.append({**{key: x.item() for key, x in values.items()}, 'skipped': skipped})
        params = [*model.generator.parameters(), *model.discriminator.parameters()]
        assert all(param.grad is None for param in params)
    return logged


def pointers(model, wrappers):
    """Addresses of parameters, buffers, averages and optimizer states."""
    states = [one.optimizer.state.values() for one in wrappers.values()]
    found = tensors([model.state_dict(), *[[dict(s) for s in state] for state in states]])
    return [tensor.data_ptr() for tensor in found]


def capturable(wrappers):
    for wrapper in wrappers.values():
        for group in wrapper.optimizer.param_groups:
            group['capturable'] = True


@pytest.mark.parametrize('amp', [False, True])
def test_replayed_steps_are_eager_steps(amp, make, cuda, tools):
    """The same bits: weights, state, averages, values; rates act, and bad updates do not."""
    model, wrappers, guards = make(amp=amp)
    capturable(wrappers)
    want = train(model, wrappers, guards, tools)
    assert [values['skipped'] for values in want] == [[step == 5] * 2 for step in range(8)]

    other, others, their_guards = make(amp=amp)
    graph_training(other, others)
    found = train(other, others, their_guards, tools)
    assert len(cuda) == 1 and cuda[0].calls
    assert other.update_networks._eager_steps.total() == WARMUP + 1  # one of the other size
    assert str(found) == str(want)  # NaN equals itself
    for key, value in other.state_dict().items():
        assert value.equal(model.state_dict()[key]), key
    for name in wrappers.keys():
        one, two = (w[name].optimizer.state_dict() for w in (wrappers, others))
        [group] = two['param_groups']  # what a checkpoint holds, as of any run
        assert group['lr'] == 1e-3 * 0.8**7 and group['capturable'] is False
        for index, state in one['state'].items():
            assert all(state[key].equal(value) for key, value in two['state'][index].items())


def test_resumed_steps_are_those_of_one_run(make, cuda, tools):
    """Saved after an eager step, continued by graphs; and back by eager steps on the host."""
    model, wrappers, guards = make()
    train(model, wrappers, guards, tools, steps=1)
    saved = copy.deepcopy((model.state_dict(), wrappers.state_dict()))
    other, others, their_guards = make()
    other.load_state_dict(saved[0])
    others.load_state_dict(saved[1])
    graph_training(other, others)
    for net, its, watch in ((model, wrappers, guards), (other, others, their_guards)):
        train(net, its, watch, tools, steps=4)
    for key, value in other.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[key], rtol=0.05, atol=1e-4, msg=key)

    plain, its, _ = make()
    plain.load_state_dict(other.state_dict())
    its.load_state_dict(others.state_dict())
    plain.train_step(batch(tools, 0), its)
    state = next(iter(its['generator'].optimizer.state.values()))
    assert state['step'] == 6 and not its['generator'].optimizer.param_groups[0]['capturable']


def test_nothing_moves(make, cuda, tools):
    model, wrappers, guards = make()
    graph_training(model, wrappers)
    train(model, wrappers, guards, tools, steps=WARMUP + 1)
    [(_, fixed, _, _)] = model.update_networks._graphs.values()
    before = pointers(model, wrappers) + [x.data_ptr() for x in fixed.values()]
    train(model, wrappers, guards, tools)
    assert pointers(model, wrappers) + [x.data_ptr() for x in fixed.values()] == before


def test_calls_and_sizes_depend_on_no_value(make, tools):
    """Another batch, other noise, a bad number: the same operators on tensors of the same sizes."""
    model, wrappers, _ = make()
    capturable(wrappers)
    model.train_step(batch(tools, 0), wrappers)
    found = []
    for seed in range(2):
        inputs = pad_slots(model.data_preprocessor(batch(tools, seed))['inputs'])
        inputs['img'] *= float('nan') if seed else 1
        with Recording() as recording:
            model.update_networks(inputs, wrappers)
        found.append([(call[0], [x.shape for x in call[3]]) for call in recording.calls])
    assert found[0] == found[1]


def test_a_graph_is_kept_for_each_size(make, cuda, tools):
    model, wrappers, _ = make()
    graph_training(model, wrappers)
    for _ in range(WARMUP + 2):
        for slots in (SLOTS, SLOTS + 1):
            model.train_step(batch(tools, 0, slots), wrappers)
    shapes = [dict(key[:4])['instance_labels'] for key in model.update_networks._graphs]
    assert len(cuda) == 2 and shapes == [(2, SLOTS), (2, 2 * SLOTS)]


def test_drawn_factor_is_part_of_the_size(make, cuda, tools):
    model, wrappers, _ = make()
    for stage in model.discriminator.stages:
        stage.upsample_range = (1.2, 1.8)
    graph_training(model, wrappers)
    want = set()
    for seed in range(4):
        torch.manual_seed(seed)
        factor = float(torch.empty(()).uniform_(1.2, 1.8))
        want.add(tuple((int(round(factor * side / 8)) * 8,) * 2 for side in (16, 32)))
        torch.manual_seed(seed)
        model.train_step(batch(tools, 0), wrappers)
    assert len(want) > 1 and {key[4:] for key in model.update_networks._eager_steps} == want


def refused(make, text):
    model, wrappers, _ = make()
    runner = SimpleNamespace(model=model, optim_wrapper=wrappers)
    with pytest.raises(SLNPError, match=text):
        SLNPCUDAGraphHook().before_train(runner)


def test_a_cpu_is_refused(make):
    refused(make, '--cuda-graph needs a CUDA device, but the model is on cpu; leave it out')


def test_several_processes_are_refused(make, monkeypatch):
    monkeypatch.setattr('slnp_mm.engine.cuda_graph.is_model_wrapper', lambda model: True)
    refused(make, 'needs a single process, but the run has several')


@pytest.mark.parametrize(
    'wrapper, text',
    [
        (lambda p: OptimWrapper(torch.optim.Adam(p)), 'the optimizer AMM, but the config has Adam'),
        (lambda p: OptimWrapper(AMM(p), clip_grad=dict(max_norm=1)), 'without clip_grad'),
    ],
)
def test_other_optimizers_are_refused(wrapper, text, make):
    model, wrappers, _ = make()
    wrappers.optim_wrappers['generator'] = wrapper(model.generator.parameters())
    with pytest.raises(SLNPError, match=text):
        graph_training(model, wrappers)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('amp', [False, True])
def test_captured_steps_are_eager_steps_on_a_gpu(amp, make, tools):
    """Sums by atomic additions differ in their order, and AMM enlarges rounding errors."""
    model, wrappers, guards = make('cuda', amp)
    capturable(wrappers)
    want = train(model, wrappers, guards, tools)
    other, others, their_guards = make('cuda', amp)
    graph_training(other, others)
    found = train(other, others, their_guards, tools)
    assert [one.pop('skipped') for one in found] == [one.pop('skipped') for one in want]
    for one, two in zip(found[: WARMUP + 1], want):  # the last of them is the first replay
        assert one == pytest.approx(two, rel=0.05, abs=0.01)
    for key, value in other.generator.named_parameters():
        assert (value - model.generator.get_parameter(key)).abs().mean() < 1e-3, key
