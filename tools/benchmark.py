"""Benchmarks of the networks, the data loader, the AMM optimizer and exported files.

Every figure of time is a ratio of two things timed in turn in one run: each round times every
call once, with two calls before to warm up, and the figure is the median of the rounds' ratios
(with their range). So it carries over between machines, and a slow spell meets both alike.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import _cli as cli

if TYPE_CHECKING:
    from torch import Tensor, nn

FEW, MANY = 4, 64  # instances of an image, square numbers
Call = Callable[[], Any]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest='part', metavar='PART', required=True)
    for run, config, rounds, threads in (
        (networks, 'configs/slnp_coco.py', 5, 2),
        (loader, 'configs/_base_/datasets/coco_stuff.py', 7, None),
        (amm, 'configs/slnp_coco.py', 15, None),
        (exported, 'configs/slnp_toy_plus.py', 15, None),
    ):
        summary = run.__doc__.splitlines()[0]
        part = commands.add_parser(run.__name__, help=summary, description=run.__doc__)
        part.set_defaults(run=run)
        add = part.add_argument
        add('--config', default=config, help='default: %(default)s')
        add('--rounds', type=cli.number, default=rounds, help='default: %(default)s')
        add('--threads', type=cli.number, default=threads, help='torch threads')
        if run is not amm:
            add('--size', type=cli.number, default=256, help='side, pixels')
        if run in (networks, amm):
            add('--device', default='cpu', help='default: %(default)s')
        if run is networks:
            add('--batch', type=cli.number, default=1, help='images (default: %(default)s)')
            add('--amp', action='store_true', help='all in bfloat16, the product too')
        if run is loader:
            add('--data-root', help="instead of the config's")
            add('--images', type=cli.number, default=64, help='a timing (default: %(default)s)')
    return parser.parse_args(argv)


# ------------------------------------------------------------------------------------------------
# Timing


def in_turn(calls: dict[str, Call], rounds: int, **clock) -> dict[str, list[float]]:
    """Time calls in turn, every second round backwards, and print their medians.

    Args:
        calls (dict[str, Callable]): Calls by name.
        rounds (int): Timings of each call, >= 1.
        **clock: ``timer`` tells seconds. Defaults to torch's, which waits for the GPU.

    Returns:
        dict[str, list[float]]: Seconds a call, one number for each round.
    """
    import torch
    from torch.utils.benchmark import Compare, Timer

    options = dict(label='medians', description='time', num_threads=torch.get_num_threads())
    timers = {
        name: Timer('call()', globals=dict(call=call), sub_label=name, **options, **clock)
        for name, call in calls.items()
    }
    found = {name: [] for name in calls}
    for index in range(rounds):
        for name in list(calls)[:: -1 if index % 2 else 1]:
            found[name].append(timers[name].timeit(1))
    print(Compare([measured for name in calls for measured in found[name]]))
    return {name: [measured.mean for measured in found[name]] for name in calls}


def print_ratio(times: dict[str, list[float]], above: str, below: str) -> None:
    """Print the ratio of two calls, taken round by round: median and range, no unit."""
    ratios = [a / b for a, b in zip(times[above], times[below])]
    middle = statistics.median(ratios)
    print(f'{above} / {below}: {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})')


# ------------------------------------------------------------------------------------------------
# Networks


def build(config: str, device: str = 'cpu', amp: bool = False) -> tuple[nn.Module, Any]:
    """Build a GAN in training mode and its optimizer wrappers.

    The noise prior keeps random weights: its cost is that of a trained one.
    """
    import torch
    from mmagic.registry import MODELS
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import init_default_scope

    cfg = cli.read_config(config)
    cli.import_custom(cfg)
    if amp:
        cli.enable_amp(cfg)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    if model.noise_prior is not None:
        model.noise_prior.is_trained = True
    model = model.to(device).train()
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def make_batch(num_classes: int, size: int, instances: int, batch: int = 1) -> dict[str, Any]:
    """Make labelled noise images, tiled by equal instances, as the loader gives them."""
    import torch

    generator = torch.Generator().manual_seed(0)
    side = int(instances**0.5)
    cell = torch.arange(size) * side // size
    ids = cell[:, None] * side + cell
    classes = torch.randint(0, num_classes, (instances,), generator=generator)
    image = torch.randint(0, 256, (3, size, size), generator=generator)
    item = dict(img=image.byte(), label=classes[ids][None].byte(), instances=ids[None].short())
    return dict(inputs=[dict(item, instance_labels=classes.short())] * batch, data_samples=None)


def peak_rise(call: Call, device: str) -> float:
    """Peak of the tensors that a call makes, MB; what lives before it is not counted."""
    import torch
    from _live_bytes import LiveBytes

    call()  # optimizers make their state once
    if device == 'cpu':
        with LiveBytes() as live:
            call()
        return live.peak / 2**20
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def slnp_calls(model: nn.Module, wrappers: Any, size: int, batch: int = 1) -> dict[str, Call]:
    """Make generation, noise prior included, and training steps of G and D as calls."""
    import torch

    few, many = (make_batch(model.generator.num_classes, size, n, batch) for n in (FEW, MANY))
    inputs = model.data_preprocessor(many)['inputs']
    maps = [inputs[key] for key in ('label', 'instances', 'instance_labels')]
    generate = lambda: model.generator(*maps, model.noise_fn(num_batches=batch))  # noqa: E731
    return {
        'image': torch.no_grad()(generate),
        f'step, T = {MANY}': lambda: model.train_step(many, wrappers),
        f'step, T = {FEW}': lambda: model.train_step(few, wrappers),
    }


def build_pix2pix(channels: int, num_down: int = 8) -> nn.Module:
    """Build mmagic's Pix2Pix as its base config does, for one-hot maps of ``channels``.

    It is in training mode, as Pix2Pix also generates; ``num_down`` halvings in its U-Net.
    """
    import torch
    from mmagic.registry import MODELS
    from mmengine.hub import get_config

    torch.manual_seed(0)
    model = get_config('mmagic::_base_/models/base_pix2pix.py').model
    model.generator.update(in_channels=channels, num_down=num_down)
    model.discriminator.in_channels = channels + 3
    model.data_preprocessor.type = 'mmengine.BaseDataPreprocessor'
    domains = dict(reachable_domains=['photo'], related_domains=['photo', 'mask'])
    return MODELS.build(dict(model, default_domain='photo', **domains)).train()


def pix2pix_calls(
    model: nn.Module, channels: int, size: int, batch: int = 1, device: str = 'cpu'
) -> dict[str, Call]:
    """Make Pix2Pix' generation and training step as calls; the one-hot map is made beforehand."""
    import torch
    from mmengine.logging import MessageHub
    from mmengine.optim import OptimWrapper, OptimWrapperDict

    MessageHub.get_current_instance().update_info('iter', 0)  # train_step reads it
    label = torch.randint(0, channels, (batch, size, size), device=device)
    mask = torch.nn.functional.one_hot(label, channels).permute(0, 3, 1, 2).float()
    data = dict(img_mask=mask, img_photo=torch.rand(batch, 3, size, size, device=device))
    optimizers = {
        name: OptimWrapper(torch.optim.Adam(getattr(model, name).parameters(), 2e-4))
        for name in ('generators', 'discriminators')
    }
    wrappers = OptimWrapperDict(**optimizers)
    return {
        'Pix2Pix image': torch.no_grad()(lambda: model.generators['photo'](mask)),
        'Pix2Pix step': lambda: model.train_step(dict(inputs=data, data_samples=None), wrappers),
    }


def count_gmac(call: Call) -> float:
    """Count the multiply-adds of a call, in 1e9."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2e9


def networks(args: argparse.Namespace) -> None:
    """Size, work, time and memory of the networks, beside mmagic's Pix2Pix.

    Times and rates are over those of a product of two square matrices of the same precision, with
    1024 rows on a CPU and 8192 on a GPU. Peak memory is that of the tensors which a call makes:
    weights, averages and optimizer states, which outlive it, come on top.
    """
    import torch

    from slnp_mm.errors import check_device

    device = torch.device(check_device(args.device)).type
    model, wrappers = build(args.config, args.device, args.amp)
    channels = model.generator.num_classes + 1
    # its U-Net halves 8 times, or as often as a smaller image can be halved
    peer = build_pix2pix(channels, min(8, args.size.bit_length() - 1)).to(args.device)
    rows, kind = (1024 if device == 'cpu' else 8192), (torch.float32, torch.bfloat16)[args.amp]
    left, right = torch.ones(2, rows, rows, dtype=kind, device=args.device)
    cast = torch.autocast(device, torch.bfloat16, enabled=args.amp)
    calls = {'product': lambda: torch.mm(left, right)}
    calls |= slnp_calls(model, wrappers, args.size, args.batch)
    others = pix2pix_calls(peer, channels, args.size, args.batch, args.device)
    calls |= {name: cast(call) for name, call in dict(others, image=calls['image']).items()}

    # size
    for name, network in ((args.config, model.generator), ('Pix2Pix', peer.generators)):
        size = sum(p.numel() for p in network.parameters()) / 1e6
        print(f'{name}: {size:.1f} M parameters')

    # work, memory and time
    work = {name: 2 * count_gmac(call) for name, call in calls.items()}
    peaks = {name: peak_rise(call, args.device) for name, call in calls.items()}
    times = in_turn(calls, args.rounds)
    product = work['product'] / statistics.median(times['product'])
    print(f'product of {rows} rows: {product:.0f} GFLOP/s')
    print(f'{"":16}{"images/s":>10}{"GMAC/image":>12}{"GFLOP/s":>10}{"of product":>12}{"MB":>8}')
    for name in list(calls)[1:]:
        seconds = statistics.median(times[name])
        speed = work[name] / seconds
        print(
            f'{name:16}{args.batch / seconds:10.2f}{work[name] / args.batch / 2:12.1f}'
            f'{speed:10.0f}{speed / product:12.0%}{peaks[name]:8.0f}'
        )

    # ratios
    for name in ('image', f'step, T = {MANY}', 'Pix2Pix image', 'Pix2Pix step'):
        print_ratio(times, name, 'product')
    print_ratio(times, f'step, T = {MANY}', f'step, T = {FEW}')
    print(f'memory of these: {peaks[f"step, T = {MANY}"] / peaks[f"step, T = {FEW}"]:.2f}')


# ------------------------------------------------------------------------------------------------
# Loader


def loader(args: argparse.Namespace) -> None:
    """Speed of one worker's whole pipeline, over OpenCV's decoding alone.

    The bound reads and decodes the same JPEG and label PNG with cv2.imread and does nothing else.
    Both are timed in processor time, so that other programs on the machine do not count.
    """
    import cv2
    from mmagic.registry import DATASETS
    from mmengine.registry import init_default_scope

    import slnp_mm  # noqa: F401

    init_default_scope('mmagic')
    cv2.setNumThreads(0)
    cfg = cli.read_config(args.config).train_dataloader.dataset
    cfg.image_size = args.size
    if args.data_root:
        cfg.data_root = args.data_root
    dataset = DATASETS.build(cfg)
    order = [index % len(dataset) for index in range(args.images)]
    infos = [dataset.get_data_info(index) for index in order]

    def decode() -> None:
        for info in infos:
            cv2.imread(info['img_path'], cv2.IMREAD_COLOR)
            cv2.imread(info['label_path'], cv2.IMREAD_UNCHANGED)

    calls = {'OpenCV': decode, 'one worker': lambda: [dataset[index] for index in order]}
    print(f'{args.images} images of {len(dataset)}, {args.size} px')
    times = in_turn(calls, args.rounds, timer=time.process_time)
    # speeds, so the times' ratio upside down
    print('speed of one worker over the bound:')
    print_ratio(times, 'OpenCV', 'one worker')


# ------------------------------------------------------------------------------------------------
# AMM


def compare_with_adam(params: list[Tensor], rounds: int) -> float:
    """Step AMM and Adam in turn, each on copies of parameters, and print the ratio.

    Returns:
        float: AMM's state beyond Adam's, step counters left out, in copies of the parameters.
    """
    import torch

    from slnp_mm.engine.optimizers import AMM

    optimizers = {}
    adam = functools.partial(torch.optim.Adam, foreach=True)
    for name, kind in (('AMM', AMM), ('Adam', adam)):
        copies = [param.detach().clone().requires_grad_() for param in params]
        for param in copies:
            param.grad = torch.randn_like(param)
        optimizers[name] = kind(copies)
    times = in_turn({name: one.step for name, one in optimizers.items()}, rounds)

    size = dict.fromkeys(optimizers, 0)
    for name, optimizer in optimizers.items():
        for entry in optimizer.state.values():
            size[name] += sum(value.nbytes for key, value in entry.items() if key != 'step')
    extra = (size['AMM'] - size['Adam']) / sum(param.nbytes for param in params)
    print_ratio(times, 'AMM', 'Adam')
    print(f'state beyond that of Adam: {extra:.4f} copies of the parameters')
    return extra


def amm(args: argparse.Namespace) -> None:
    """Time and memory of a step of AMM, over one of torch.optim.Adam.

    Both hold the parameters of the config's G and D; docs/optimizer.md says what ratio to expect
    where memory is the limit.
    """
    model, _ = build(args.config, args.device)
    params = [*model.generator.parameters(), *model.discriminator.parameters()]
    params = [param for param in params if param.requires_grad]
    count = sum(param.numel() for param in params)
    print(f'{args.config}: {count} parameters in {len(params)} tensors, {args.device}')
    compare_with_adam(params, args.rounds)


# ------------------------------------------------------------------------------------------------
# Exported files


def exported(args: argparse.Namespace) -> None:
    """Generation of one image by what tools/export.py writes, over PyTorch's.

    Weights are random, which changes no time; the noise prior and the rounding count.
    """
    import torch
    from _export import Exported, load, make_inputs, save, trace

    network, size = Exported(build(args.config)[0]), (args.size, args.size)
    inputs = make_inputs(network, size, batch=1, slots=MANY)
    calls = {'PyTorch': torch.no_grad()(lambda: network(**inputs))}
    program = trace(network, make_inputs(network, size))
    with tempfile.TemporaryDirectory() as folder:
        for name in ('onnx', 'pt2'):
            save(program, f'{folder}/a.{name}', {})
            calls[name] = functools.partial(load(f'{folder}/a.{name}'), inputs)
    times = in_turn(calls, args.rounds)
    for name in ('onnx', 'pt2'):
        print_ratio(times, name, 'PyTorch')


def main(argv: list[str] | None = None) -> None:
    """Run one part."""
    args = parse_args(argv)
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    threads, level = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    print(f'torch {torch.__version__}, {threads} threads, {level}, {gpu}')
    args.run(args)


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
