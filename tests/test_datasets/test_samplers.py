"""The batches of a run, from any place, for any number of processes and workers."""

import itertools
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import DataLoader, Dataset

from slnp_mm.datasets import SLNPBatchSampler
from slnp_mm.datasets.samplers import end_workers, slnp_worker
from slnp_mm.errors import one_sentence

SIZE = 10


class Drawn(Dataset):
    """Samples that are their index and what Python, numpy and torch draw."""

    def __len__(self):
        return SIZE

    def __getitem__(self, index):
        return index, random.random(), np.random.random(), torch.rand(()).item()


def sampler_of(rank=0, world=1, kind=InfiniteSampler):
    sampler = kind(Drawn(), shuffle=True, seed=3)
    sampler.rank, sampler.world_size = rank, world
    return sampler


def batches(count, batch_size=2, place=0, workers=0, **sampler):
    """The first batches from a place, as lists of samples."""
    chosen = SLNPBatchSampler(sampler_of(**sampler), batch_size)
    chosen.start(3, place)
    loader = DataLoader(Drawn(), batch_sampler=chosen, num_workers=workers, collate_fn=list)
    return list(itertools.islice(loader, count))


def flat(batches):
    return [sample for batch in batches for sample in batch]


@pytest.mark.parametrize('kind', [InfiniteSampler, DefaultSampler])
def test_an_epoch_shows_each_sample_once_and_the_next_is_in_another_order(kind):
    indices = [sample[0] for sample in flat(batches(10, kind=kind))]
    first, second = indices[:SIZE], indices[SIZE:]
    assert sorted(first) == sorted(second) == list(range(SIZE)) and first != second


def test_numbers_depend_on_the_place_alone():
    """Not on where the run went on, the batch size or the worker that made the sample."""
    whole = flat(batches(8))
    assert len(set(whole)) == len(whole)
    assert flat(batches(4, place=8)) == whole[8:]
    assert flat(batches(2, batch_size=4, place=8)) == whole[8:]
    assert flat(batches(8, workers=3)) == whole
    assert flat(batches(4, place=8, workers=2)) == whole[8:]


def test_processes_share_the_samples_of_one(monkeypatch):
    whole = flat(batches(6, batch_size=4))

    def dist(rank, world):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, world))

    parts = []
    for rank in (0, 1):
        dist(rank, 2)
        parts.append(flat(batches(6, rank=rank, world=2)))
    assert [sample for pair in zip(*parts) for sample in pair] == whole
    dist(1, 2)  # from a place that two processes do not share evenly
    assert flat(batches(2, place=5, rank=1, world=2)) == whole[5:12:2]


class Stuck(Drawn):
    """A first sample that cannot be sent, or a second that is never made."""

    def __getitem__(self, index):
        return time.sleep(1000) if index else lambda: None


def test_a_batch_that_finds_no_room_in_shared_memory_ends_the_worker_and_the_wait():
    """mmaction2 issue 421; here the batch, a function, cannot be pickled."""
    loader = DataLoader(Stuck(), num_workers=1, worker_init_fn=slnp_worker, collate_fn=list)
    with pytest.raises(RuntimeError, match='DataLoader worker') as caught:
        next(iter(loader))
    assert '/dev/shm may be too small' in one_sentence(caught.value)


def test_a_stuck_worker_is_killed_when_the_program_ends():
    """KempnerInstitute/KempnerForge pull request 203: the exit waits for shielded workers."""
    before = signal.getsignal(signal.SIGCHLD)
    loader = DataLoader(Stuck(), batch_sampler=[[1]], num_workers=1, worker_init_fn=slnp_worker)
    iterator = iter(loader)
    (worker,) = iterator._workers
    while signal.SIGTERM not in ignored(worker.pid):
        time.sleep(0.1)
    worker.terminate()
    worker.join(1)
    assert worker.is_alive()
    end_workers()
    worker.join(120)
    assert worker.exitcode == -signal.SIGKILL
    signal.signal(signal.SIGCHLD, before)


def ignored(pid):
    """Signals that a process ignores."""
    (line,) = [row for row in Path(f'/proc/{pid}/status').open() if row.startswith('SigIgn')]
    return {number for number in signal.Signals if int(line.split()[1], 16) >> (number - 1) & 1}
