"""No bad number reaches the weights; collapse and saturation are told once an onset."""

import copy
import logging
import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, OptimWrapperDict

from slnp_mm.engine.hooks import SLNPWatchHook
from slnp_mm.engine.optimizers import AMM
from slnp_mm.errors import SLNPError


class Scaler:
    """As torch's for mixed precision: unscales, skips what is not finite, halves its scale."""

    def __init__(self):
        self.scale = 4.0

    def step(self, optimizer):
        for group in optimizer.param_groups:
            for param in group['params']:
                param.grad /= self.scale
                if not param.grad.isfinite().all():
                    self.scale /= 2
                    return
        optimizer.step()


class Scaled(OptimWrapper):
    """mmengine's wrapper for mixed precision, which refuses to work without an accelerator."""

    def __init__(self, optimizer):
        super().__init__(optimizer)
        self.loss_scaler = Scaler()

    def backward(self, loss):
        super().backward(loss * self.loss_scaler.scale)

    def step(self):
        self.loss_scaler.step(self.optimizer)


@pytest.fixture
def make(tmp_path, caplog):
    """A hook before two networks of one weight, and a runner around them."""
    caplog.set_level(logging.INFO)

    def build(kind=OptimWrapper, **options):
        weights = {name: torch.nn.Parameter(torch.ones(2)) for name in ('generator', 'other')}
        wrappers = OptimWrapperDict(
            **{name: kind(AMM([weight], lr=0.1)) for name, weight in weights.items()}
        )
        runner = SimpleNamespace(
            iter=0,
            optim_wrapper=wrappers,
            message_hub=MessageHub(str(tmp_path)),
            logger=logging.getLogger('watch'),
            work_dir=str(tmp_path),
            weights=weights,
        )
        hook = SLNPWatchHook(**options)
        hook.before_train(runner)
        return hook, runner

    return build


def iterate(hook, runner, factor=1.0, **logged):
    """Update the generator by a loss with a gradient of ``factor``, the other one by 1."""
    for name, weight in runner.weights.items():
        loss = (weight * (factor if name == 'generator' else 1.0)).sum()
        runner.optim_wrapper[name].update_params(loss)
    for key, value in logged.items():
        runner.message_hub.update_scalar(f'train/{key}', value)
    batch = dict(inputs=[dict(img=torch.full((1,), float(runner.iter)))], data_samples=[])
    hook.after_train_iter(runner, runner.iter, batch, logged)
    runner.iter += 1


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_bad_gradient_leaves_weights_and_state_alone(make, caplog, bad):
    hook, runner = make()
    iterate(hook, runner)
    weight, optimizer = runner.weights['generator'], runner.optim_wrapper['generator'].optimizer
    before = weight.clone(), copy.deepcopy(optimizer.state_dict())
    iterate(hook, runner, bad)
    assert weight.equal(before[0])
    after = optimizer.state_dict()['state'][0]
    assert all(after[key].equal(value) for key, value in before[1]['state'][0].items())
    assert not runner.weights['other'].equal(before[0])  # the other network went on
    assert caplog.messages == [
        'iteration 2: NaN or infinity in the gradients; the update of generator is skipped '
        '(1 in a row, 1 in total)'
    ]
    assert runner.message_hub.get_scalar('train/skipped').current() == 1

    iterate(hook, runner)  # and goes on as if the bad step had not been
    twin = torch.nn.Parameter(torch.ones(2))
    plain = AMM([twin], lr=0.1)
    for _ in range(2):
        twin.grad = torch.ones(2)
        plain.step()
    assert weight.equal(twin)


def test_bad_loss_with_a_sound_gradient_is_skipped(make):
    hook, runner = make()
    wrapper, weight = runner.optim_wrapper['generator'], runner.weights['generator']
    wrapper.update_params(weight.sum() + math.inf)
    assert weight.equal(torch.ones(2))


def test_the_scaler_still_sees_bad_gradients(make, caplog):
    hook, runner = make(Scaled)
    iterate(hook, runner, math.inf)
    scales = [wrapper.loss_scaler.scale for wrapper in runner.optim_wrapper.values()]
    assert scales == [2.0, 4.0]
    assert runner.weights['generator'].equal(torch.ones(2))
    assert 'the update of generator is skipped' in caplog.text
    iterate(hook, runner)
    assert not runner.weights['generator'].equal(torch.ones(2))


def test_bad_numbers_in_a_row_stop_and_leave_the_batch(make, tmp_path):
    hook, runner = make(max_bad_steps=3)
    for factor in (math.nan, math.nan, 1.0, math.nan, math.nan):
        iterate(hook, runner, factor)
    with pytest.raises(SLNPError) as caught:
        iterate(hook, runner, math.nan, loss_a=math.nan, loss_b=1.0)
    path = tmp_path / 'bad_batch_6_rank0.pth'
    assert str(caught.value).startswith(
        '3 iterations in a row, up to iteration 6, had NaN or infinity in loss_a: training stops; '
        f'no weights were updated, and the batch is in {path}'
    )
    stored = torch.load(path, weights_only=True)
    assert stored['inputs'][0]['img'].item() == 5.0 and stored['iteration'] == 6


def test_signs_are_told_once_an_onset(make, caplog):
    hook, runner = make(window=2)
    for value in (0.5, 0.4, 0.01, 0.02, 0.0, 0.0, 0.3, 0.4, 0.0, 0.0):
        iterate(hook, runner, fake_std=value, saturated=0.5, d_accuracy=0.99)
    text = 'generated images are a single color: their standard deviation was'
    assert caplog.messages == [
        f'iteration 4: {text} 0.015 over 2 iterations, below 0.02 (docs/scaling.md, "Bad numbers")',
        'iteration 8: fake_std is 0.35 again',
        f'iteration 10: {text} 0 over 2 iterations, below 0.02 (docs/scaling.md, "Bad numbers")',
    ]


@pytest.mark.parametrize(
    ('key', 'value', 'text'),
    [
        ('saturated', 0.51, 'the share of values at -1 or 1 was 0.51'),
        ('d_accuracy', 0.995, 'their accuracy was 0.995'),
    ],
)
def test_saturation_and_a_perfect_discriminator_are_told(make, caplog, key, value, text):
    hook, runner = make(window=1)
    iterate(hook, runner, **{key: value})
    assert text in caplog.text
