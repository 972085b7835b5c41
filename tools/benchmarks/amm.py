"""Time and memory of AMM's step against torch.optim.Adam's.

Both optimizers hold the parameters of a config's generator and
discriminators and take steps in turn, with the same flags. AMM touches every
number nine times per step (five reads, four writes), Adam seven times: where
memory is the limit, 9 / 7 = 1.29 is the ratio to expect.
"""

import argparse
from typing import Any

import torch
from torch import Tensor

from ._timing import (
    format_table,
    ratio,
    reference_unit,
    summarize,
    time_in_turn,
)

PATHS = dict(
    default={},
    single=dict(foreach=False),
    foreach=dict(foreach=True),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this part's options."""
    parser.add_argument(
        '--config',
        default='configs/slnp_coco.py',
        help='config whose networks give the parameters (default: %(default)s)',
    )
    parser.add_argument(
        '--paths',
        nargs='+',
        choices=PATHS,
        default=list(PATHS),
        help='flags to compare (default: all)',
    )
    parser.add_argument(
        '--device',
        default='cpu',
        help='device of the parameters (default: cpu)',
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=15,
        help='timings per path (default: %(default)s)',
    )


def parameter_shapes(config: str) -> list[tuple[int, ...]]:
    """List the trainable parameters' shapes of a config's networks.

    The networks are built without memory of their own.

    Args:
        config (str): Path of a config with ``model.generator`` and
            ``model.discriminator``.

    Returns:
        List[Tuple[int, ...]]: One shape per parameter.
    """
    from mmagic.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    networks = (model.generator, model.discriminator)
    return [tuple(p.shape) for network in networks for p in network.parameters() if p.requires_grad]


def make_parameters(shapes: list[tuple[int, ...]], device: str) -> list[Tensor]:
    """Make float32 parameters with gradients, both normal numbers."""
    generator = torch.Generator().manual_seed(0)
    params = []
    for shape in shapes:
        param = torch.randn(shape, generator=generator).to(device)
        param.grad = torch.randn(shape, generator=generator).to(device)
        params.append(param.requires_grad_())
    return params


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Count the bytes of an optimizer's state, step counters left out."""
    return sum(
        value.nbytes
        for entry in optimizer.state.values()
        for key, value in entry.items()
        if key != 'step'
    )


def compare(
    shapes: list[tuple[int, ...]],
    device: str,
    flags: dict[str, bool],
    rounds: int,
) -> dict[str, Any]:
    """Time both optimizers' steps in turn and weigh their state.

    Returns:
        Dict[str, Any]: ``amm_s`` and ``adam_s`` (seconds), ``ratio`` (no
        unit), each with median, min and max; ``extra_buffers``: state beyond
        Adam's, in copies of the parameters.
    """
    from slnp_mm.engine.optimizers import AMM

    amm = AMM(make_parameters(shapes, device), **flags)
    adam = torch.optim.Adam(make_parameters(shapes, device), **flags)
    times = time_in_turn(dict(amm=amm.step, adam=adam.step), rounds)
    size = sum(p.nbytes for p in amm.param_groups[0]['params'])
    return dict(
        amm_s=summarize(times['amm']),
        adam_s=summarize(times['adam']),
        ratio=ratio(times, 'amm', 'adam'),
        extra_buffers=(state_bytes(amm) - state_bytes(adam)) / size,
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compare every path asked for."""
    shapes = parameter_shapes(args.config)
    paths = {name: compare(shapes, args.device, PATHS[name], args.rounds) for name in args.paths}
    rows = []
    for name, found in paths.items():
        times = [f'{1e3 * found[key]["median"]:.1f}' for key in ('adam_s', 'amm_s')]
        part = found['ratio']
        rows.append(
            [
                name,
                *times,
                f'{part["median"]:.2f}',
                f'{part["min"]:.2f} to {part["max"]:.2f}',
                f'{found["extra_buffers"]:.4f}',
            ]
        )
    count = sum(torch.Size(shape).numel() for shape in shapes)
    unit = reference_unit()
    table = '\n'.join(
        [
            f'{args.config}: {count} parameters in {len(shapes)} tensors, '
            f'{args.device}; reference unit {1e3 * unit:.2f} ms',
            format_table(
                [
                    'flags',
                    'Adam, ms',
                    'AMM, ms',
                    'ratio',
                    'range',
                    'extra buffers',
                ],
                rows,
            ),
        ]
    )
    return dict(
        config=args.config,
        device=args.device,
        parameters=count,
        tensors=len(shapes),
        reference_unit_s=unit,
        paths=paths,
        table=table,
    )
