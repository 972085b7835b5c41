"""Two gloo processes give the figures of one, whatever the count."""

import json
import multiprocessing

import pytest
import torch
from mmengine.dataset import DefaultSampler

from slnp_mm.evaluation import SLNPScorerFrechet, SLNPSegMetric

COUNT = 11


def sample(i):
    gen = torch.Generator().manual_seed(i)
    label = torch.randint(0, 4, (32, 32), generator=gen)
    label[:3] = 255
    return dict(
        fake_img=torch.rand(3, 32, 32, generator=gen) * 255,
        gt_img=torch.rand(3, 32, 32, generator=gen) * 255,
        gt_sem_seg=label,
        sample_idx=i,
        img_path=f'{i}.png',
    )


def evaluate(scorer):
    """Figures of both metrics over this process's share of the set."""
    figures = {}
    for kind in (SLNPSegMetric, SLNPScorerFrechet):
        metric = kind(scorer=scorer)
        metric.dataset_meta = dict(classes=('a', 'b', 'c', 'd'))
        order = list(DefaultSampler(range(COUNT), shuffle=False))
        for start in range(0, len(order), 4):
            metric.process(None, [sample(i) for i in order[start : start + 4]])
        figures.update(metric.evaluate(COUNT))
    return figures


def work(rank, world, scorer, out):
    """One process of a gloo group."""
    torch.set_num_threads(1)
    meeting = f'file://{out}_meeting'  # no port that another process may take
    torch.distributed.init_process_group('gloo', meeting, rank=rank, world_size=world)
    with open(f'{out}{rank}', 'w') as file:
        json.dump(evaluate(scorer), file)


@pytest.mark.parametrize('world', [2, 3])
def test_many_processes_equal_one_when_the_count_does_not_divide(tiny_scorer, tmp_path, world):
    # forked, because importing mmagic anew takes most of a minute here
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    one = evaluate(tiny_scorer)
    context = multiprocessing.get_context('fork')
    out = str(tmp_path / 'rank')
    jobs = [
        context.Process(target=work, args=(rank, world, tiny_scorer, out)) for rank in range(world)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(timeout=120)
        if job.is_alive():
            job.kill()
    torch.set_num_threads(threads)
    assert [job.exitcode for job in jobs] == [0] * world
    for rank in range(world):
        with open(f'{out}{rank}') as file:
            assert json.load(file) == one
