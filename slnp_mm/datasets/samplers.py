"""Batches that can be made again from any place of a run."""

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
    """Seed Python, numpy and torch, on all devices, by whole numbers >= 0."""
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@FUNCTIONS.register_module()
def slnp_worker(worker_id: int) -> None:
    """Keep a loader's worker alive until the training, which a scheduler stops too, has saved.

    A batch that finds no room in shared memory would never arrive: it ends the worker, which torch
    reports to the training.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(lambda *_: os._exit(1))


@atexit.register
def end_workers() -> None:
    """Kill the workers that are left when the program ends.

    Python ends them by SIGTERM, which they ignore, and then waits for them without end.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would report them as killed
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


class SeededIndices:
    """Indices of a batch; each seeds the random numbers just before its sample is made.

    Args:
        seed (int): The run's.
        pairs (list[tuple[int, int]]): Place in the run and index in the data set of each sample.
    """

    def __init__(self, seed: int, pairs: list[tuple[int, int]]) -> None:
        self.seed, self.pairs = seed, pairs

    def __iter__(self) -> Iterator[int]:
        for place, index in self.pairs:
            seed_all(self.seed, 0, place)
            yield index


@DATA_SAMPLERS.register_module()
class SLNPBatchSampler:
    """Endless full batches, in which a sample depends on seed and place only.

    The place of a sample is its number in the run, over all processes: transforms draw the same
    numbers there whatever worker and process makes it. So a run goes on from any place, with
    another batch size or number of workers too.

    Args:
        sampler (InfiniteSampler | DefaultSampler): mmengine's; says the order and the seed.
        batch_size (int): Samples of a batch of this process.
    """

    def __init__(self, sampler: InfiniteSampler | DefaultSampler, batch_size: int) -> None:
        self.sampler, self.batch_size = sampler, batch_size
        self.start(sampler.seed, 0)

    def start(self, seed: int, place: int) -> None:
        """Let the next iterator begin at a place, a number of samples, of the run of a seed."""
        self.seed, self.place = seed, place

    def __len__(self) -> int:
        return max(len(self.sampler) // self.batch_size, 1)

    def __iter__(self) -> Iterator[SeededIndices]:
        """Give batch after batch; each process takes every ``world_size``-th sample."""
        old = self.sampler
        sampler = type(old)(old.dataset, shuffle=old.shuffle, seed=self.seed)
        pairs = zip(itertools.count(old.rank, old.world_size), _epochs(sampler))
        pairs = itertools.dropwhile(lambda pair: pair[0] < self.place, pairs)
        while True:
            yield SeededIndices(self.seed, list(itertools.islice(pairs, self.batch_size)))


def _epochs(sampler: InfiniteSampler | DefaultSampler) -> Iterator[int]:
    """Repeat a sampler, shuffled anew each time; an infinite one never ends the first time."""
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        yield from sampler
