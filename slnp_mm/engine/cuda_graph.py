"""A training step as CUDA graphs.

One operator call costs the host about ten microseconds, and a step makes about three thousand. A
CUDA graph records the calls once and replays all of them in one call.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from mmagic.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor

from ..errors import SLNPError
from .optimizers import AMM, SLNPBF16OptimWrapper

WARMUP = 2
"""int: Eager steps of each size before its graph is captured: they make the optimizers' state and
choose kernels."""
SLOTS = 32
"""int: The slots for instances, T, are padded to a multiple, so that few sizes occur."""


class GraphedStep:
    """Replays :meth:`SLNPGAN.update_networks` as a CUDA graph, one for each size of its inputs.

    A graph repeats the same kernels on the same memory. Parameters, optimizer state and the flags
    of :class:`StepGuard` stay in place anyway; inputs and learning rates are copied to fixed
    tensors. Gradients live within the graph: none is left after a step. Random numbers come from
    torch's CUDA generator, whose seed and offset a replay reads. All graphs share one memory pool,
    because they never run at once and pass nothing on.

    Args:
        update (Callable): ``update_networks``.
        frozen_sizes (Callable): Returns what a step draws that changes sizes, see
            :meth:`StageDiscriminators.frozen_sizes`.
        optim_wrapper (OptimWrapperDict): The optimizers, AMM.
    """

    def __init__(
        self, update: Callable, frozen_sizes: Callable, optim_wrapper: OptimWrapperDict
    ) -> None:
        self._update, self._frozen_sizes = update, frozen_sizes
        self._groups = [
            group for one in optim_wrapper.values() for group in one.optimizer.param_groups
        ]
        self._rates = [torch.zeros((), device=group['params'][0].device) for group in self._groups]
        self._eager_steps, self._graphs = Counter(), {}
        self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()

    def __call__(
        self, inputs: dict[str, Tensor], optim_wrapper: OptimWrapperDict
    ) -> dict[str, Tensor]:
        """Update both networks, see :meth:`SLNPGAN.update_networks`."""
        inputs = pad_slots(inputs)
        sizes = tuple((key, value.shape) for key, value in sorted(inputs.items()))
        sizes += tuple(self._frozen_sizes(inputs['label'].shape[1:]))

        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream), self._optimizers_on_device():
            if sizes not in self._graphs and self._eager_steps[sizes] < WARMUP:
                self._eager_steps[sizes] += 1
                values = self._update(inputs, optim_wrapper)
            else:
                if sizes not in self._graphs:
                    self._graphs[sizes] = self._capture(inputs, optim_wrapper)
                graph, fixed, keys, logged = self._graphs[sizes]
                for key, value in inputs.items():
                    fixed[key].copy_(value)
                graph.replay()
                values = dict(zip(keys, logged.clone().unbind()))
        torch.cuda.current_stream().wait_stream(self._stream)
        return values

    def _capture(
        self, inputs: dict[str, Tensor], optim_wrapper: OptimWrapperDict
    ) -> tuple[torch.cuda.CUDAGraph, dict[str, Tensor], list[str], Tensor]:
        """Capture a step: the graph, its inputs, and names and values of what it logs."""
        graph, fixed = torch.cuda.CUDAGraph(), {key: x.clone() for key, x in inputs.items()}
        # other threads may use CUDA meanwhile: the loader's pins memory
        options = dict(pool=self._pool, stream=self._stream, capture_error_mode='thread_local')
        with torch.cuda.graph(graph, **options):
            values = self._update(fixed, optim_wrapper)
            logged = torch.stack(list(values.values()))
        return graph, fixed, list(values), logged

    @contextmanager
    def _optimizers_on_device(self) -> Iterator[None]:
        """Let AMM read learning rates from fixed tensors; anyone else sees numbers."""
        settings = [{key: group[key] for key in ('lr', 'capturable')} for group in self._groups]
        for group, rate in zip(self._groups, self._rates):
            group.update(lr=rate.fill_(group['lr']), capturable=True)
        try:
            yield
        finally:
            for group, usual in zip(self._groups, settings):
                group.update(usual)


def pad_slots(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Pad ``instance_labels`` (B, T) with empty slots, -1, which change no image."""
    labels = inputs['instance_labels']
    return {**inputs, 'instance_labels': F.pad(labels, (0, -labels.shape[1] % SLOTS), value=-1)}


@HOOKS.register_module()
class SLNPCUDAGraphHook(Hook):
    """Trains a GAN with CUDA graphs (``tools/train.py --cuda-graph``).

    Raises:
        SLNPError: When training starts, on a CPU, in several processes, with float16, with an
            optimizer other than AMM, or for a model other than the GAN.
    """

    def before_train(self, runner: Runner) -> None:
        """Replace the model's ``update_networks``."""
        model, wrappers = runner.model, runner.optim_wrapper
        if is_model_wrapper(model):
            _refuse('a single process, but the run has several: their gradients are summed eagerly')
        device = next(model.parameters()).device.type
        if device != 'cuda':
            _refuse(f'a CUDA device, but the model is on {device}')
        if not hasattr(model, 'update_networks'):
            _refuse(f'the GAN, but the model is a {type(model).__name__}')
        graph_training(model, wrappers)


def graph_training(model: torch.nn.Module, optim_wrapper: OptimWrapperDict) -> None:
    """Make a GAN on a CUDA device train with CUDA graphs.

    Raises:
        SLNPError: If an optimizer is not AMM, or its wrapper scales the loss or clips gradients.
    """
    for wrapper in optim_wrapper.values():
        optimizer = wrapper.optimizer
        if type(wrapper) not in (OptimWrapper, SLNPBF16OptimWrapper) or wrapper.clip_grad_kwargs:
            _refuse(
                'the wrapper OptimWrapper or SLNPBF16OptimWrapper without clip_grad, but '
                f'the config has {type(wrapper).__name__} with clip_grad={wrapper.clip_grad_kwargs}'
            )
        if not isinstance(optimizer, AMM):
            _refuse(f'the optimizer AMM, but the config has {type(optimizer).__name__}')
        for param, state in optimizer.state.items():  # of a resumed run
            state['step'] = state['step'].to(param.device)
    sizes = model.discriminator.frozen_sizes
    model.update_networks = GraphedStep(model.update_networks, sizes, optim_wrapper)


def _refuse(what: str) -> None:
    raise SLNPError(f'--cuda-graph needs {what}; leave it out')
