"""Benchmarks of the networks, the data loader, the AMM optimizer and exported files.

Every figure of time is a ratio of two things timed in turn in one run: each round times every
call once, with two calls before to warm up, and the figure is the median of the rounds' ratios
(with their range). So it carries over between machines, and a slow spell meets both alike.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _cli as cli

if TYPE_CHECKING:
    from torch import Tensor, nn

FEW, MANY = 4, 64  # instances of an image, square numbers


def at_least_one(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number of at least 1, but got {text}')
    return int(text)


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
        part.add_argument('--config', default=config, help='default: %(default)s')
        part.add_argument(
            '--rounds', type=at_least_one, default=rounds, help='default: %(default)s'
        )
        part.add_argument('--threads', type=at_least_one, default=threads, help='torch threads')
        if run is not amm:
            part.add_argument('--size', type=at_least_one, default=256, help='side, pixels')
    commands.choices['loader'].add_argument('--data-root', help="instead of the config's")
    commands.choices['loader'].add_argument(
        '--images', type=at_least_one, default=64, help='images a timing (default: %(default)s)'
    )
    commands.choices['amm'].add_argument('--device', default='cpu', help='default: %(default)s')
    return parser.parse_args(argv)


# ------------------------------------------------------------------------------------------------
# Timing


def in_turn(
    calls: dict[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] | None = None,
) -> dict[str, list[float]]:
    """Time calls in turn, every second round backwards, and print their medians.

    Args:
        calls (dict[str, Callable]): Calls by name.
        rounds (int): Timings of each call, >= 1.
        clock (Callable | None): Tells seconds. Defaults to torch's, which waits for the GPU.

    Returns:
        dict[str, list[float]]: Seconds a call, one number for each round.
    """
    import torch
    from torch.utils.benchmark import Compare, Timer

    options = {} if clock is None else dict(timer=clock)
    options |= dict(label='medians', description='time', num_threads=torch.get_num_threads())
    timers = {
        name: Timer('call()', globals=dict(call=call), sub_label=name, **options)
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


def build(config: str) -> tuple[nn.Module, Any]:
    """Build a GAN in training mode and its optimizer wrappers.

    The noise prior keeps random weights: its cost is that of a trained one.
    """
    import torch
    from mmagic.registry import MODELS
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import init_default_scope

    cfg = cli.read_config(config)
    cli.import_custom(cfg)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.num_batches_tracked.add_(1)
    return model.train(), build_optim_wrapper(model, cfg.optim_wrapper)


def make_batch(num_classes: int, size: int, instances: int) -> dict[str, Any]:
    """Make one labelled noise image, tiled by equal instances, as the loader gives it."""
    import torch

    generator = torch.Generator().manual_seed(0)
    side = int(instances**0.5)
    cell = torch.arange(size) * side // size
    ids = cell[:, None] * side + cell
    classes = torch.randint(0, num_classes, (instances,), generator=generator)
    image = torch.randint(0, 256, (3, size, size), generator=generator)
    item = dict(img=image.to(torch.uint8), label=classes[ids][None], instances=ids[None])
    return dict(inputs=[dict(item, instance_labels=classes)], data_samples=None)


def make_step(model: nn.Module, wrappers: Any, size: int, instances: int) -> Callable[[], Any]:
    """Make one training step of G and D as a call."""
    batch = make_batch(model.generator.num_classes, size, instances)
    return lambda: model.train_step(batch, wrappers)


def peak_rise(config: str, size: int, instances: int) -> float:
    """Measure how far a training step lifts the peak resident size of a fresh process, MB.

    The peak is reset first, because importing the libraries leaves a high one. Linux only.
    """

    def resident(key: str) -> float:
        lines = Path('/proc/self/status').read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f'{key}:'))

    step = make_step(*build(config), size, instances)
    Path('/proc/self/clear_refs').write_text('5')
    before = resident('VmRSS')
    step()
    return resident('VmHWM') - before


def make_generate(model: nn.Module, size: int) -> Callable[[], Any]:
    """Make the generation of one image, noise prior included, as a call."""
    import torch

    batch = make_batch(model.generator.num_classes, size, MANY)
    inputs = model.data_preprocessor(batch)['inputs']
    maps = [inputs[key] for key in ('label', 'instances', 'instance_labels')]
    return torch.no_grad()(lambda: model.generator(*maps, model.noise_fn(num_batches=1)))


def build_pix2pix(channels: int, num_down: int = 8) -> nn.Module:
    """Build mmagic's Pix2Pix as its base config does, for one-hot maps of ``channels``.

    It is in training mode, as Pix2Pix also generates; ``num_down`` halvings in its U-Net.
    """
    import torch
    from mmagic.registry import MODELS

    torch.manual_seed(0)
    unet = dict(type='UnetGenerator', in_channels=channels, out_channels=3, num_down=num_down)
    patch = dict(type='PatchDiscriminator', in_channels=channels + 3, norm_cfg=dict(type='BN'))
    return MODELS.build(
        dict(
            type='Pix2Pix',
            data_preprocessor=dict(type='mmengine.BaseDataPreprocessor'),
            generator=dict(unet, norm_cfg=dict(type='BN'), use_dropout=True),
            discriminator=patch,
            default_domain='photo',
            reachable_domains=['photo'],
            related_domains=['photo', 'mask'],
        )
    ).train()


def pix2pix_calls(model: nn.Module, channels: int, size: int) -> dict[str, Callable[[], Any]]:
    """Make Pix2Pix' generation and training step as calls; the one-hot map is made beforehand."""
    import torch
    from mmengine.logging import MessageHub
    from mmengine.optim import OptimWrapper, OptimWrapperDict

    MessageHub.get_current_instance().update_info('iter', 0)  # train_step reads it
    label = torch.randint(0, channels, (1, size, size))
    mask = torch.nn.functional.one_hot(label, channels).permute(0, 3, 1, 2).float()
    data = dict(img_mask=mask, img_photo=torch.rand(1, 3, size, size))
    wrappers = OptimWrapperDict(
        **{
            name: OptimWrapper(torch.optim.Adam(getattr(model, name).parameters(), 2e-4))
            for name in ('generators', 'discriminators')
        }
    )
    return {
        'Pix2Pix image': torch.no_grad()(lambda: model.generators['photo'](mask)),
        'Pix2Pix step': lambda: model.train_step(dict(inputs=data, data_samples=None), wrappers),
    }


def count_gmac(call: Callable[[], Any]) -> float:
    """Count the multiply-adds of a call, in 1e9."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2e9


def networks(args: argparse.Namespace) -> None:
    """Size, work, time and memory of the networks, beside mmagic's Pix2Pix.

    Times are over that of a product of two 1024 x 1024 float32 matrices.
    """
    import torch

    model, wrappers = build(args.config)
    channels = model.generator.num_classes + 1
    # its U-Net halves 8 times, or as often as a smaller image can be halved
    peer = build_pix2pix(channels, min(8, args.size.bit_length() - 1))
    left, right = torch.ones(2, 1024, 1024)
    calls = {
        'product': lambda: torch.mm(left, right),
        'image': make_generate(model, args.size),
        **{f'step, T = {t}': make_step(model, wrappers, args.size, t) for t in (MANY, FEW)},
        **pix2pix_calls(peer, channels, args.size),
    }

    # size and work
    for name, network, image in (
        (args.config, model.generator, 'image'),
        ('Pix2Pix', peer.generators, 'Pix2Pix image'),
    ):
        size = sum(p.numel() for p in network.parameters()) / 1e6
        print(f'{name}: {size:.1f} M parameters, {count_gmac(calls[image]):.1f} GMAC an image')

    # time
    times = in_turn(calls, args.rounds)
    for name in ('image', f'step, T = {MANY}', 'Pix2Pix image', 'Pix2Pix step'):
        print_ratio(times, name, 'product')
    print_ratio(times, f'step, T = {MANY}', f'step, T = {FEW}')

    # memory
    peaks = []
    for instances in (MANY, FEW):
        context = multiprocessing.get_context('spawn')
        with context.Pool(1, torch.set_num_threads, (torch.get_num_threads(),)) as pool:
            peaks.append(pool.apply(peak_rise, (args.config, args.size, instances)))
    print(
        'peak memory of these steps: {:.2f} ({:.0f} / {:.0f} MB)'.format(
            peaks[0] / peaks[1], *peaks
        )
    )


# ------------------------------------------------------------------------------------------------
# Loader


def loader(args: argparse.Namespace) -> None:
    """Speed of one worker's whole pipeline, over OpenCV's decoding alone.

    The bound reads and decodes the same JPEG and label PNG with cv2.imread and does nothing else.
    Both are timed in processor time, so that other programs on the machine do not count. The
    instance cache is filled by the calls that warm up.
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
    with tempfile.TemporaryDirectory() as cache:
        for step in cfg.pipeline:
            if step['type'] == 'SLNPLoadInstances':
                step['cache_dir'] = cache
        dataset = DATASETS.build(cfg)
        order = [index % len(dataset) for index in range(args.images)]
        infos = [dataset.get_data_info(index) for index in order]

        def decode() -> None:
            for info in infos:
                cv2.imread(info['img_path'], cv2.IMREAD_COLOR)
                cv2.imread(info['label_path'], cv2.IMREAD_UNCHANGED)

        calls = {'OpenCV': decode, 'one worker': lambda: [dataset[index] for index in order]}
        print(f'{args.images} images of {len(dataset)}, {args.size} px')
        times = in_turn(calls, args.rounds, time.process_time)
    # speeds, so the times' ratio upside down
    print('speed of one worker over the bound:')
    print_ratio(times, 'OpenCV', 'one worker')


# ------------------------------------------------------------------------------------------------
# AMM


def make_parameters(shapes: list[tuple[int, ...]], device: str) -> list[Tensor]:
    """Make float32 parameters with gradients, both normal numbers."""
    import torch

    generator = torch.Generator().manual_seed(0)
    params = []
    for shape in shapes:
        param = torch.randn(shape, generator=generator).to(device)
        param.grad = torch.randn(shape, generator=generator).to(device)
        params.append(param.requires_grad_())
    return params


def state_bytes(optimizer: Any) -> int:
    """Count the bytes of an optimizer's state, step counters left out."""
    entries = [item for entry in optimizer.state.values() for item in entry.items()]
    return sum(value.nbytes for key, value in entries if key != 'step')


def compare_with_adam(
    shapes: list[tuple[int, ...]], device: str, rounds: int, foreach: bool
) -> float:
    """Step AMM and Adam in turn and print the ratio.

    Returns:
        float: AMM's state beyond Adam's, in copies of the parameters.
    """
    import torch

    from slnp_mm.engine.optimizers import AMM

    amm = AMM(make_parameters(shapes, device), foreach=foreach)
    adam = torch.optim.Adam(make_parameters(shapes, device), foreach=foreach)
    times = in_turn({'AMM': amm.step, 'Adam': adam.step}, rounds)
    extra = (state_bytes(amm) - state_bytes(adam)) / sum(
        param.nbytes for param in amm.param_groups[0]['params']
    )
    print_ratio(times, 'AMM', 'Adam')
    print(f'state beyond that of Adam: {extra:.4f} copies of the parameters')
    return extra


def amm(args: argparse.Namespace) -> None:
    """Time and memory of a step of AMM, over one of torch.optim.Adam.

    Both hold parameters shaped as those of the config's G and D; docs/optimizer.md says what ratio
    to expect where memory is the limit.
    """
    model, _ = build(args.config)
    params = [*model.generator.parameters(), *model.discriminator.parameters()]
    shapes = [tuple(param.shape) for param in params if param.requires_grad]
    count = sum(param.numel() for param in params if param.requires_grad)
    print(f'{args.config}: {count} parameters in {len(shapes)} tensors, {args.device}')
    for name, foreach in (('single', False), ('foreach', True)):
        print(f'\n{name}:')
        compare_with_adam(shapes, args.device, args.rounds, foreach)


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
