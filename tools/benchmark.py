"""Benchmark the networks or the AMM optimizer.

Calls are timed in alternation and compared as ratios, which are less sensitive to the machine and
to its load.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import _cli as cli


def in_turn(calls: dict[str, Callable], rounds: int, **clock) -> dict[str, list[float]]:
    """Time calls in alternation, reversing every second round: seconds per round by name."""
    import torch
    from torch.utils.benchmark import Timer  # waits for the GPU

    clock['num_threads'] = torch.get_num_threads()
    found = {name: [] for name in calls}
    for index in range(rounds):
        for name in list(calls)[:: -1 if index % 2 else 1]:
            timer = Timer('call()', globals=dict(call=calls[name]), **clock)
            found[name].append(timer.timeit(1).mean)
    return found


def print_ratio(times: dict[str, list[float]], above: str, below: str) -> None:
    """Print median and range of the per-round ratio of two calls."""
    ratios = [a / b for a, b in zip(times[above], times[below])]
    middle = statistics.median(ratios)
    print(f'{above} / {below}: {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})')


def make_batch(num_classes: int, size: int, instances: int, batch: int = 1) -> dict[str, Any]:
    """Make a loader's batch of noise images, tiled by equal instances."""
    import torch

    side = int(instances**0.5)
    cell = torch.arange(size) * side // size
    ids, classes = cell[:, None] * side + cell, torch.randint(num_classes, (instances,))
    item = dict(img=torch.randint(256, (3, size, size)).byte(), label=classes[ids][None].byte())
    item.update(instances=ids[None].short(), instance_labels=classes.short())
    return dict(inputs=[item] * batch, data_samples=None)


def networks(args: argparse.Namespace, model: Any, wrappers: Any) -> None:
    """Print time, FLOPs and temporary memory of generating an image and of training steps."""
    import torch
    from _live_bytes import LiveBytes
    from torch.utils.flop_counter import FlopCounterMode

    from slnp_mm.engine.cuda_graph import graph_training
    from slnp_mm.engine.hooks.slnp_watch_hook import StepGuard

    few, many = (make_batch(model.generator.num_classes, args.size, n, args.batch) for n in (4, 64))
    inputs = model.data_preprocessor(many)['inputs']
    maps = [inputs[key] for key in ('label', 'instances', 'instance_labels')]
    rows, kind = (1024 if args.device == 'cpu' else 8192), (torch.float32, torch.bfloat16)[args.amp]
    square = torch.ones(rows, rows, dtype=kind, device=args.device)
    cast = torch.autocast(torch.device(args.device).type, torch.bfloat16, enabled=args.amp)
    generate = cast(lambda: model.generator(*maps, model.noise_fn(num_batches=args.batch)))
    calls = {
        'product': lambda: square @ square,
        'image': torch.no_grad()(generate),
        'step, T = 64': lambda: model.train_step(many, wrappers),
        'step, T = 4': lambda: model.train_step(few, wrappers),
    }
    for stage in model.discriminator.stages:  # the same sizes in every round
        if hasattr(stage, 'upsample_range'):
            stage.upsample_range = (sum(stage.upsample_range) / 2,) * 2
    for wrapper in wrappers.values():
        StepGuard(wrapper)  # as in training
    if args.cuda_graph:
        graph_training(model, wrappers)
    counts = {}
    for name, call in calls.items():
        with FlopCounterMode(display=False) as work:  # also initializes the optimizer states
            call()
        with LiveBytes() as live:
            call()
        counts[name] = work.get_total_flops() / 1e9, live.peak / 2**20
        call()  # a graph is captured after two eager steps
    times = in_turn(calls, args.rounds)
    for name, (work, peak) in counts.items():
        speed = 1 / statistics.median(times[name])
        print(f'{name}: {args.batch * speed:.2f} images/s, {work / args.batch / 2:.1f} GMAC/image')
        print(f'    {work * speed:.0f} GFLOP/s, {peak:.0f} MB')
        print_ratio(times, name, 'product')
    print_ratio(times, 'step, T = 64', 'step, T = 4')
    if args.device != 'cpu':
        print(f'reserved on the GPU: {torch.cuda.max_memory_reserved() / 2**20:.0f} MB')


def compare_with_adam(params: list, rounds: int) -> float:
    """Time AMM against Adam; return its extra state in copies of the parameters."""
    import torch

    from slnp_mm.engine.optimizers import AMM

    optimizers, size = {}, {}
    adam = partial(torch.optim.Adam, foreach=True)
    for name, kind in (('AMM', AMM), ('Adam', adam)):
        copies = [param.detach().clone().requires_grad_() for param in params]
        for param in copies:
            param.grad = torch.randn_like(param)
        optimizers[name] = kind(copies)
    times = in_turn({name: one.step for name, one in optimizers.items()}, rounds)
    for name, one in optimizers.items():
        states = [item for state in one.state.values() for item in state.items()]
        size[name] = sum(value.nbytes for key, value in states if key != 'step')
    print_ratio(times, 'AMM', 'Adam')
    return (size['AMM'] - size['Adam']) / sum(param.nbytes for param in params)


def main(argv: list[str] | None = None) -> None:
    """Build the GAN of a config with random weights and run one benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add('part', choices=['networks', 'amm'], help='what to benchmark')
    add('--config', type=cli.path, default='configs/slnp_coco.py', help='config file')
    add('--rounds', type=cli.number, default=7, help='rounds of timing')
    add('--device', type=cli.device, default='cpu', help='cpu, cuda or cuda:N')
    add('--size', type=cli.number, default=256, help='networks: image size in pixels')
    add('--batch', type=cli.number, default=1, help='networks: batch size')
    add('--amp', action='store_true', help='networks: use bfloat16')
    add('--cuda-graph', action='store_true', help='networks: steps as CUDA graphs')
    args = parser.parse_args(argv)
    if args.cuda_graph and args.device == 'cpu':
        parser.error('--cuda-graph needs --device cuda')

    cfg = cli.read_config(args.config)
    cli.import_custom(cfg)
    from mmagic.registry import MODELS
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import init_default_scope

    if args.amp:
        cli.enable_amp(cfg)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    if model.noise_prior is not None:
        model.noise_prior.is_trained = True  # an untrained one costs the same
    model = model.to(args.device).train()
    if args.part == 'networks':
        return networks(args, model, build_optim_wrapper(model, cfg.optim_wrapper))
    params = [*model.generator.parameters(), *model.discriminator.parameters()]
    extra = compare_with_adam([p for p in params if p.requires_grad], args.rounds)
    print(f'{extra:.4f} more copies of the parameters')


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
