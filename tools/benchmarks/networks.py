"""Size, work, time and memory of the networks at COCO settings.

Times are given in units of a fixed matrix product timed in turn with them
(see ``_timing.reference_unit``), so that they carry over between machines.
Memory is the rise of the process's peak resident size, each measured in a
fresh process.
"""

import argparse
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from . import _pix2pix
from ._timing import format_table, ratio, time_in_turn

# Published figures: millions of parameters, GMAC an image, time of one image
# and of one training step (G and D) over the reference; 183 channels, 256 px,
# batch 1, float32, 2 CPU threads. Pix2Pix, which mmagic brings, is measured
# again in every run.
PEERS = {
    'SPADE': (97.5, 191, 289, 1278),
    'OASIS': (75.2, 204, 307, 1778),
    'pix2pixHD (global)': (183, 91.6, 111, 505),
    'mmagic Pix2Pix U-Net': (54.6, 9.1, 14, 118),
}
TARGET = (60, 60, 100, 400)
MAX_RATIO = 1.2
FEW, MANY = 4, 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this part's options."""
    parser.set_defaults(threads=2)
    parser.add_argument(
        '--config',
        default='configs/slnp_coco.py',
        help='config of the GAN (default: %(default)s)',
    )
    parser.add_argument('--size', type=int, default=256, help='side in pixels (default: 256)')
    parser.add_argument(
        '--rounds',
        type=int,
        default=7,
        help='timings of each call (default: %(default)s)',
    )


def build(config: str) -> tuple[nn.Module, Any]:
    """Build a GAN in training mode and its optimizer wrappers.

    The noise prior keeps random weights: its cost is that of a trained one.
    """
    from mmagic.registry import MODELS
    from mmengine.config import Config
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import init_default_scope

    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked.add_(1)
    model.train()
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def make_batch(num_classes: int, size: int, instances: int) -> dict:
    """Make one labelled noise image tiled by equal instances.

    Args:
        num_classes (int): Classes to draw from.
        size (int): Side, pixels.
        instances (int): ``T``, a square number.

    Returns:
        dict: A batch as the loader gives it.
    """
    generator = torch.Generator().manual_seed(0)
    side = int(instances**0.5)
    cell = torch.arange(size) * side // size
    ids = cell[:, None] * side + cell
    classes = torch.randint(0, num_classes, (instances,), generator=generator)
    image = torch.randint(0, 256, (3, size, size), generator=generator)
    item = dict(
        img=image.to(torch.uint8),
        label=classes[ids][None],
        instances=ids[None],
        instance_labels=classes,
    )
    return dict(inputs=[item], data_samples=None)


def make_step(model: nn.Module, wrappers: Any, size: int, instances: int) -> Callable[[], Any]:
    """Make one training step of both networks as a call."""
    classes = model.generator.num_classes
    batch = make_batch(classes, size, instances)
    return lambda: model.train_step(batch, wrappers)


def make_generate(model: nn.Module, size: int) -> Callable[[], Any]:
    """Make the generation of one image, noise prior included, as a call."""
    batch = make_batch(model.generator.num_classes, size, MANY)
    inputs = model.data_preprocessor(batch)['inputs']

    @torch.no_grad()
    def generate() -> Any:
        return model.generator(
            inputs['label'],
            inputs['instances'],
            inputs['instance_labels'],
            model.noise_fn(num_batches=1),
        )

    return generate


def one_hot_layer(label: Tensor, weight: Tensor) -> Tensor:
    """Embed a label map as a 1x1 convolution of its one-hot map."""
    planes = F.one_hot(label, len(weight)).permute(0, 3, 1, 2)
    return F.conv2d(planes.to(weight.dtype), weight.T[..., None, None])


def make_first_layer(size: int, lookup: bool) -> Callable[[], Tensor]:
    """Make the first layer's pass and gradient, 183 classes to 32."""
    from slnp_mm.models.layers import LabelEmbedding

    torch.manual_seed(0)
    layer = LabelEmbedding(182, 32)
    label = torch.randint(0, 183, (1, size, size))

    def run_layer() -> Tensor:
        layer.zero_grad()
        out = layer(label) if lookup else one_hot_layer(label, layer.weight)
        out.sum().backward()
        return out.detach()

    return run_layer


def _resident(key: str) -> float:
    """Read a resident size of this process from Linux, MB."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{key}:'):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


def peak_rise(call: Callable[[], Any]) -> float:
    """Measure how far a call lifts the peak resident size, MB.

    The peak is reset first: importing the libraries leaves a higher one
    than small calls reach. Linux only.
    """
    Path('/proc/self/clear_refs').write_text('5')
    before = _resident('VmRSS')
    call()
    return _resident('VmHWM') - before


def _step_memory(config: str, size: int, instances: int) -> float:
    """Weigh a training step; runs in a process of its own."""
    return peak_rise(make_step(*build(config), size, instances))


def _layer_memory(size: int, lookup: bool) -> float:
    """Weigh a first layer; runs in a process of its own."""
    return peak_rise(make_first_layer(size, lookup))


def in_fresh_process(function: Callable[..., float], *args: Any) -> float:
    """Call a function of this module in a new process."""
    with multiprocessing.get_context('spawn').Pool(
        1, torch.set_num_threads, (torch.get_num_threads(),)
    ) as pool:
        return pool.apply(function, args)


def count_parameters(module: nn.Module) -> float:
    """Count the parameters, in 1e6."""
    return sum(p.numel() for p in module.parameters()) / 1e6


def count_gmac(generate: Callable[[], Any]) -> float:
    """Count the multiply-adds of a call, in 1e9."""
    with FlopCounterMode(display=False) as counter:
        generate()
    return counter.get_total_flops() / 2e9


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure everything, times in turn with the reference."""
    model, wrappers = build(args.config)
    channels = model.generator.num_classes + 1
    peer = _pix2pix.build(channels)
    left, right = torch.ones(2, 1024, 1024)
    calls = dict(
        reference=lambda: torch.mm(left, right),
        generate=make_generate(model, args.size),
        step=make_step(model, wrappers, args.size, MANY),
        step_few=make_step(model, wrappers, args.size, FEW),
        lookup=make_first_layer(args.size, True),
        one_hot=make_first_layer(args.size, False),
        **_pix2pix.make_calls(peer, channels, args.size),
    )
    # sums of few terms in another order: float32 rounding only
    torch.testing.assert_close(calls['lookup'](), calls['one_hot']())
    result = dict(
        parameters=count_parameters(model.generator),
        gmac=count_gmac(calls['generate']),
        peer_parameters=count_parameters(peer.generators),
        peer_gmac=count_gmac(calls['peer_generate']),
    )
    times = time_in_turn(calls, args.rounds)
    for name in ('generate', 'step', 'peer_generate', 'peer_step'):
        result[name] = ratio(times, name, 'reference')
    result['step_ratio'] = ratio(times, 'step', 'step_few')
    result['one_hot_ratio'] = ratio(times, 'one_hot', 'lookup')
    for name, slots in (('many', MANY), ('few', FEW)):
        result[f'memory_{name}_mb'] = in_fresh_process(_step_memory, args.config, args.size, slots)
    for name, lookup in (('lookup', True), ('one_hot', False)):
        result[f'memory_{name}_mb'] = in_fresh_process(_layer_memory, args.size, lookup)
    return result


def network_rows(config: str, found: dict[str, Any]) -> list[list[Any]]:
    """Lay out the networks' figures beside peers and target."""
    rows = [[name, *figures] for name, figures in PEERS.items()]
    rows += [measured_row('mmagic Pix2Pix U-Net, this run', 'peer_', found)]
    rows += [['target, at most', *TARGET]]
    return [*rows, measured_row(config, '', found)]


def measured_row(name: str, prefix: str, found: dict[str, Any]) -> list[str]:
    """Lay out the figures of one network of this run."""
    sizes = [f'{found[prefix + key]:.1f}' for key in ('parameters', 'gmac')]
    times = [
        '{median:.0f} ({min:.0f} to {max:.0f})'.format(**found[prefix + key])
        for key in ('generate', 'step')
    ]
    return [name, *sizes, *times]


def ratio_row(found: dict[str, Any], name: str, key: str, above: str, below: str) -> list[str]:
    """Lay out a ratio of times and of peak memory."""
    time = '{median:.2f} ({min:.2f} to {max:.2f})'.format(**found[key])
    above, below = (found[f'memory_{k}_mb'] for k in (above, below))
    return [name, time, f'{above / below:.2f} ({above:.0f}/{below:.0f} MB)']


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and compare with the targets."""
    found = measure(args)
    networks = format_table(
        [
            'generator',
            'parameters, M',
            'GMAC/image',
            'generation / reference',
            'G+D step / reference',
        ],
        network_rows(args.config, found),
    )
    step = f'training step, T = {MANY} over T = {FEW}; at most {MAX_RATIO}'
    layer = 'first layer, one-hot over lookup; equal results'
    ratios = format_table(
        ['ratio of', 'time', 'peak memory'],
        [
            ratio_row(found, step, 'step_ratio', 'many', 'few'),
            ratio_row(found, layer, 'one_hot_ratio', 'one_hot', 'lookup'),
        ],
    )
    found['table'] = f'{networks}\n\n{ratios}'
    return dict(config=args.config, size=args.size, **found)
