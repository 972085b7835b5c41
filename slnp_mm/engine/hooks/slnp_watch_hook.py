"""Skip non-finite updates and warn of collapse."""

from pathlib import Path
from typing import Any

import torch
from mmagic.registry import HOOKS
from mmengine.dist import all_reduce, get_rank
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from slnp_mm.engine.optimizers import AMM
from slnp_mm.errors import SLNPError
from slnp_mm.files import replace_file

# logged value, side and limit beyond which to warn, and the warning
SIGNS = (
    ('fake_std', 'below', 0.02, 'generated images are a single color: their standard deviation'),
    ('saturated', 'above', 0.5, 'generated images saturate: the share of values at -1 or 1'),
    ('d_accuracy', 'above', 0.99, 'the discriminators are too strong: their accuracy'),
)


class StepGuard:
    """Skips an optimizer wrapper's step if the loss or a gradient is not finite.

    The check reduces loss and gradients to one number, summed over processes so that all skip the
    same steps. A capturable AMM skips its step on the device, so that nothing is read during the
    training step. For other optimizers the number is read, which waits for the backward pass, as a
    loss scaler does; a scaler still sees non-finite gradients, to lower its scale.
    """

    def __init__(self, wrapper: OptimWrapper) -> None:
        self.skipped = torch.zeros((), dtype=torch.bool)  # the same tensor in every step
        self._wrapper = wrapper
        self._backward, self._step = wrapper.backward, wrapper.step
        wrapper.backward, wrapper.step = self.backward, self.step

    def backward(self, loss: torch.Tensor, **kwargs) -> None:
        """Store the loss."""
        self._loss = loss.detach()
        self._backward(loss, **kwargs)

    @torch.no_grad()
    def step(self, **kwargs) -> None:
        """Step if all numbers are finite; else keep the weights and the optimizer's state."""
        optimizer = self._wrapper.optimizer
        params = [param for group in optimizer.param_groups for param in group['params']]
        grads = [param.grad for param in params if param.grad is not None]
        total = torch.nn.utils.get_total_norm(grads)
        scaled = hasattr(self._wrapper, 'loss_scaler')
        if not scaled:
            total = total + self._loss
        all_reduce(total)
        if self.skipped.device != total.device:
            self.skipped = torch.zeros_like(total, dtype=torch.bool)
        self.skipped.copy_(~torch.isfinite(total))
        on_device = all(group.get('capturable') for group in optimizer.param_groups)
        if on_device and isinstance(optimizer, AMM):
            optimizer.found_inf = self.skipped
            self._step(**kwargs)
        elif scaled or not self.skipped:
            self._step(**kwargs)


@HOOKS.register_module()
class SLNPWatchHook(Hook):
    """Skip non-finite updates, stop if they persist, and warn of collapse and saturation.

    A network whose loss or gradient is NaN or infinite is not updated, with any optimizer and in
    mixed precision; this is logged and counted as ``skipped``. Every ``window`` iterations the
    means of :data:`SIGNS` are compared with their limits, with a warning when one is exceeded and
    a message when it recovers.

    Source:
        ours: the limits, not tuned on long runs (docs/scaling.md).

    Args:
        max_bad_steps (int): Consecutive iterations with a skipped update after which training stops
            and the batch is saved. A loss scale of 2^16 takes 16 to drop to 1. Defaults to 20.
        window (int): Iterations over which the signs are averaged. Defaults to 200.
    """

    def __init__(self, max_bad_steps: int = 20, window: int = 200) -> None:
        self.max_bad_steps, self.window = max_bad_steps, window
        self._num_bad = 0
        self._seen: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Install the guards."""
        wrappers = runner.optim_wrapper
        if not isinstance(wrappers, OptimWrapperDict):
            wrappers = {'model': wrappers}
        self._guards = {name: StepGuard(wrapper) for name, wrapper in wrappers.items()}

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Count skipped updates; check the signs."""
        skipped = [name for name, guard in self._guards.items() if guard.skipped]
        for guard in self._guards.values():
            guard.skipped.zero_()
        self._num_bad = self._num_bad + 1 if skipped else 0
        if skipped:
            self._report(runner, skipped, data_batch, outputs or {})
        if self.every_n_train_iters(runner, self.window):
            self._look(runner)

    def _report(self, runner: Runner, skipped: list[str], data_batch: Any, outputs: dict) -> None:
        """Log and count skipped updates; stop after too many in a row."""
        hub = runner.message_hub
        count = hub.get_info('skipped', 0) + 1
        hub.update_info('skipped', count)
        hub.update_scalar('train/skipped', count)

        bad = [key for key, value in outputs.items() if not torch.isfinite(torch.as_tensor(value))]
        terms = f'NaN or infinity in {", ".join(bad) or "the gradients"}'
        where = f'iteration {runner.iter + 1}'
        if self._num_bad < self.max_bad_steps:
            runner.logger.warning(
                f'{where}: {terms}; the update of {" and ".join(skipped)} is skipped '
                f'({self._num_bad} in a row, {count} in total)'
            )
            return
        path = Path(runner.work_dir, f'bad_batch_{runner.iter + 1}_rank{get_rank()}.pth')
        samples = data_batch.get('data_samples') or []
        batch = dict(
            iteration=runner.iter + 1,
            inputs=data_batch['inputs'],
            files=[sample.metainfo.get('img_path') for sample in samples],
        )
        with replace_file(path) as draft:
            torch.save(batch, draft)
        raise SLNPError(
            f'{self._num_bad} iterations in a row, up to {where}, had {terms}: training stops; no '
            f'weights were updated, and the batch is in {path}: inspect it, lower the learning '
            'rates, or resume from an earlier checkpoint'
        )

    def _look(self, runner: Runner) -> None:
        """Compare the means of the signs with their limits."""
        logged, where = runner.message_hub.log_scalars, f'iteration {runner.iter + 1}'
        for key, side, limit, text in SIGNS:
            if f'train/{key}' not in logged:
                continue
            mean = logged[f'train/{key}'].mean(self.window)
            bad = mean < limit if side == 'below' else mean > limit
            if bad and key not in self._seen:
                self._seen.add(key)
                runner.logger.warning(
                    f'{where}: {text} was {mean:.3g} over {self.window} iterations, {side} {limit} '
                    '(docs/scaling.md, "Bad numbers")'
                )
            elif not bad and key in self._seen:
                self._seen.remove(key)
                runner.logger.info(f'{where}: {key} is {mean:.3g} again')
