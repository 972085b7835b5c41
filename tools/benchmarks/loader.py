"""Images per second of the data loader, against OpenCV's decoding alone.

The bound is one process that reads and decodes the same JPEG and label PNG
with cv2.imread and does nothing else. "one worker" runs the whole pipeline
in one process; both are timed in turn, in processor time, so that other
programs on the machine do not count. "DataLoader" adds batches and transfer
between processes, in wall time. The instance cache is filled before timing.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import cv2
from mmagic.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

import slnp_mm  # noqa: F401

TARGET = 0.6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this part's options."""
    parser.add_argument(
        '--config',
        default='configs/_base_/datasets/coco_stuff.py',
        help='config with a train_dataloader (default: %(default)s)',
    )
    parser.add_argument('--data-root', help="instead of the config's")
    parser.add_argument(
        '--size',
        type=int,
        default=256,
        help='side, pixels (default: %(default)s)',
    )
    parser.add_argument(
        '--images',
        type=int,
        default=64,
        help='images per timing, repeated if the set has fewer (default: %(default)s)',
    )
    parser.add_argument(
        '--workers',
        type=int,
        nargs='+',
        default=[1, 2],
        help='DataLoader workers (default: 1 2)',
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=7,
        help='timings of each (default: %(default)s)',
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time decoding, one worker and DataLoaders in turn.

    Args:
        args (Namespace): The options of ``add_arguments``.

    Returns:
        dict: ``rates`` (images per second, median), ``ratio`` (one worker
        over the bound), ``workers`` and ``table``.
    """
    init_default_scope('mmagic')
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as cache:
        loader_cfg = _loader_config(args, cache)
        dataset = DATASETS.build(loader_cfg.dataset)
        order = [i % len(dataset) for i in range(args.images)]
        for i in set(order):
            dataset[i]
        times = _processor_times(_calls(dataset, order), args.rounds)
        bound, *_, pipeline = times.values()
        ratio = statistics.median(b / p for b, p in zip(bound, pipeline))
        rates = {name: args.images / statistics.median(values) for name, values in times.items()}
        for num in args.workers:
            rates[f'DataLoader, {num} worker{"s" * (num > 1)} (wall)'] = _loader_rate(
                loader_cfg, dataset, num, args
            )
    return dict(
        rates=rates,
        ratio=ratio,
        size=args.size,
        images=args.images,
        table=_table(rates, ratio, args, len(dataset)),
    )


def _processor_times(calls: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each call, in turn, after one warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if index:
                times[name].append(time.process_time() - start)
    return times


def _loader_config(args: argparse.Namespace, cache: str) -> Config:
    """Training loader of the config, with size and cache of this run."""
    cfg = Config.fromfile(args.config).train_dataloader
    cfg.dataset.image_size = args.size
    if args.data_root:
        cfg.dataset.data_root = args.data_root
    for step in cfg.dataset.pipeline:
        if step['type'] == 'SLNPLoadInstances':
            step['cache_dir'] = cache
    return cfg


def _calls(dataset, order: list[int]) -> dict[str, Callable[[], None]]:
    """Single-process calls: two bounds and the whole pipeline."""
    infos = [dataset.get_data_info(i) for i in order]

    def decode(keys: tuple[str, ...]) -> None:
        for info in infos:
            for key in keys:
                flag = cv2.IMREAD_COLOR if key == 'img_path' else cv2.IMREAD_UNCHANGED
                cv2.imread(info[key], flag)

    def pipeline() -> None:
        for i in order:
            dataset[i]

    calls = {'OpenCV: JPEG + label PNG': lambda: decode(('img_path', 'label_path'))}
    if infos[0]['instance_path']:
        calls['OpenCV: JPEG + label and instance PNG'] = lambda: decode(
            ('img_path', 'label_path', 'instance_path')
        )
    calls['one worker'] = pipeline
    return calls


def _loader_rate(cfg: Config, dataset, workers: int, args: argparse.Namespace) -> float:
    """Images per second of a DataLoader, after its first batches."""
    loader = Runner.build_dataloader(
        {
            **cfg,
            'dataset': dataset,
            'num_workers': workers,
            'persistent_workers': False,
            'sampler': dict(type='InfiniteSampler', shuffle=True),
        },
        seed=0,
    )
    batches = iter(loader)
    for _ in range(2 * workers + 1):  # what the workers fetched ahead
        next(batches)
    num = max(1, args.rounds * args.images // cfg.batch_size)
    start = time.perf_counter()
    for _ in range(num):
        next(batches)
    return num * cfg.batch_size / (time.perf_counter() - start)


def _table(rates: dict[str, float], ratio: float, args: argparse.Namespace, num: int) -> str:
    """Write the rates, each beside its share of the bound."""
    bound = next(iter(rates.values()))
    lines = [
        f'{args.config}, {num} images of the set, {args.size} px, median of {args.rounds}',
        f'{"":38s} {"images/s":>9s} {"of bound":>9s}',
    ]
    lines += [f'{name:38s} {rate:9.1f} {rate / bound:9.2f}' for name, rate in rates.items()]
    lines.append(
        f'one worker over the bound: {ratio:.2f} (median of the '
        f'rounds); at least {TARGET}: '
        f'{"yes" if ratio >= TARGET else "NO"}'
    )
    return '\n'.join(lines)
