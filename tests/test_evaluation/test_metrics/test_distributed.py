"""Two gloo processes give the figures of one, whatever the count."""

import json
import multiprocessing

import pytest
import torch
from mmengine.dataset import DefaultSampler

from slnp_mm.evaluation import SLNPScorerFrechet, SLNPSegMetric

COUNT = 11


def evaluate(scorer, samples):
    """Figures of both metrics over this process's share of the set."""
    figures = {}
    for kind in (SLNPSegMetric, SLNPScorerFrechet):
        metric = kind(scorer=scorer)
        metric.dataset_meta = dict(classes=('a', 'b', 'c', 'd'))
        order = list(DefaultSampler(range(COUNT), shuffle=False))
        for start in range(0, len(order), 4):
            metric.process(None, [samples[i] for i in order[start : start + 4]])
        figures.update(metric.evaluate(COUNT))
    return figures


def work(rank, world, scorer, samples, out):
    """One process of a gloo group."""
    torch.set_num_threads(1)
    meeting = f'file://{out}_meeting'  # no port that another process may take
    torch.distributed.init_process_group('gloo', meeting, rank=rank, world_size=world)
    with open(f'{out}{rank}', 'w') as file:
        json.dump(evaluate(scorer, samples), file)


@pytest.mark.parametrize('world', [2, 3])
def test_many_processes_equal_one_when_the_count_does_not_divide(
    tiny_scorer, samples, tmp_path, world
):
    # forked, because importing mmagic anew takes most of a minute here
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    given = tiny_scorer, samples(COUNT)
    one = evaluate(*given)
    context = multiprocessing.get_context('fork')
    out = str(tmp_path / 'rank')
    jobs = [context.Process(target=work, args=(rank, world, *given, out)) for rank in range(world)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(timeout=600)
        if job.is_alive():
            job.kill()
    torch.set_num_threads(threads)
    assert [job.exitcode for job in jobs] == [0] * world
    for rank in range(world):
        with open(f'{out}{rank}') as file:
            assert json.load(file) == one
