"""Batches that can be reproduced from any position of a run."""

import atexit
import itertools
import multiprocessing.queues
import os
import random
import signal
from collections.abc import Iterator

import numpy as np
import torch
from mmagic.registry import DATA_SAMPLERS
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.registry import FUNCTIONS

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def seed_all(*key: int) -> None:
    """Seed Python, numpy and torch (all devices) with integers >= 0."""
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@FUNCTIONS.register_module()
def slnp_worker(worker_id: int, _scope_: str | None = None) -> None:
    """Let a loader's worker ignore the stop signals, so that training can save first.

    mmengine passes the scope that a config of ``slnp_mm::`` gets.
    A batch that does not fit into shared memory would never arrive: exit instead, so that torch
    reports it.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(lambda *_: os._exit(1))


@atexit.register
def end_workers() -> None:
    """Kill the remaining workers at exit: they ignore SIGTERM, and Python would wait forever."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or torch reports them as killed
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


class SeededIndices:
    """Indices of a batch, given with their positions in the run; each is seeded when drawn."""

    def __init__(self, seed: int, pairs: list[tuple[int, int]]) -> None:
        self.seed, self.pairs = seed, pairs

    def __iter__(self) -> Iterator[int]:
        for place, index in self.pairs:
            seed_all(self.seed, 0, place)
            yield index


@DATA_SAMPLERS.register_module()
class SLNPBatchSampler:
    """Endless full batches, in which a sample depends only on the seed and its position.

    The position of a sample is its number in the run, over all processes. Transforms draw the same
    random numbers there in any worker and process, so a run resumes from any position, also with
    another batch size or number of workers.

    Args:
        sampler (InfiniteSampler | DefaultSampler): mmengine's; sets the order and the seed.
        batch_size (int): Samples per batch of this process.
    """

    def __init__(self, sampler: InfiniteSampler | DefaultSampler, batch_size: int) -> None:
        self.sampler, self.batch_size = sampler, batch_size
        self.start(sampler.seed, 0)

    def start(self, seed: int, place: int) -> None:
        """Let the next iterator start at ``place`` samples into the run of a seed."""
        self.seed, self.place = seed, place

    def __len__(self) -> int:
        return max(len(self.sampler) // self.batch_size, 1)

    def __iter__(self) -> Iterator[SeededIndices]:
        """Yield batches; each process takes every ``world_size``-th sample."""
        old = self.sampler
        sampler = type(old)(old.dataset, shuffle=old.shuffle, seed=self.seed)
        pairs = zip(itertools.count(old.rank, old.world_size), _epochs(sampler))
        pairs = itertools.dropwhile(lambda pair: pair[0] < self.place, pairs)
        while True:
            yield SeededIndices(self.seed, list(itertools.islice(pairs, self.batch_size)))


def _epochs(sampler: InfiniteSampler | DefaultSampler) -> Iterator[int]:
    """Repeat a sampler, reshuffled each time; an infinite one never ends its first epoch."""
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        yield from sampler
