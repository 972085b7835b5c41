"""Scorer distances and diversity."""

import numpy as np
import pytest
import torch
from mmagic.registry import METRICS

from slnp_mm.errors import SLNPError
from slnp_mm.evaluation import SLNPDiversity, SLNPScorerFrechet
from slnp_mm.evaluation.functional.distances import feature_statistics, frechet_distance
from slnp_mm.evaluation.metrics.feature_metric import split_half


def test_scorer_frechet_is_the_distance_of_its_features(tiny_scorer, samples):
    metric = SLNPScorerFrechet(scorer=tiny_scorer)
    batch = samples(12)
    metric.process(None, batch[:7])
    metric.process(None, batch[7:])
    out = metric.evaluate(12)
    fake = metric.network.features(metric.images(batch, 'fake_img'))
    real = metric.network.features(metric.images(batch, 'gt_img'))
    want = frechet_distance(feature_statistics(real.numpy()), feature_statistics(fake.numpy()))
    assert out['scorer_frechet'] == pytest.approx(want, abs=1e-5)
    assert not any('FID' in name for name in out)
    for name, value in split_half(real.numpy()).items():  # the floor beside them
        assert out[f'real/scorer_{name}'] == pytest.approx(value, abs=1e-5)


def test_equal_sets_have_distance_zero_and_need_no_identity(tiny_scorer, samples):
    metric = SLNPScorerFrechet(scorer=tiny_scorer)
    batch = samples(10)
    for item in batch:
        item['fake_img'] = item['gt_img']
        del item['sample_idx'], item['img_path']
    metric.process(None, batch)
    assert metric.evaluate(10)['scorer_frechet'] == pytest.approx(0, abs=1e-4)


def test_judge_takes_none_of_the_runs_random_numbers(tiny_scorer):
    torch.manual_seed(0)
    want = torch.rand(3)
    torch.manual_seed(0)
    SLNPScorerFrechet(tiny_scorer).network  # noqa: B018
    assert torch.rand(3).equal(want)


def test_real_halves_give_the_floor_of_the_distances():
    rows = np.random.default_rng(1).normal(size=(400, 3))
    floor = split_half(rows)
    assert 0 < floor['frechet'] < 0.1 and abs(floor['kernel']) < 0.05
    assert floor == split_half(rows)
    assert split_half(np.ones((6, 2))) == dict(frechet=0.0, kernel=0.0)
    assert split_half(rows[:3]) == {}


def test_real_features_are_computed_once(tiny_scorer, samples, monkeypatch):
    metric = SLNPScorerFrechet(scorer=tiny_scorer)
    metric.process(None, samples(9))
    want, features, seen = metric.evaluate(), metric.network.features, []
    monkeypatch.setattr(metric.network, 'features', lambda x: (seen.append(len(x)), features(x))[1])
    metric.process(None, samples(9))
    assert metric.evaluate() == want and seen == [9]  # of the generated ones


def test_missing_inception_weights_are_named(samples):
    with pytest.raises(SLNPError, match='missing.pth do not exist'):
        METRICS.build(dict(type='SLNPFID', weights='missing.pth')).process(None, samples(2))


class CountingLoader(list):
    batch_size = 2


def test_processes_share_the_labels_of_diversity(tiny_scorer, monkeypatch):
    """Five labels: both take three, in batches of two."""
    where = 'slnp_mm.evaluation.metrics.slnp_diversity.get_world_size'
    monkeypatch.setattr(where, lambda: 2)
    metric = SLNPDiversity(num_noises=2, num_images=5, scorer=tiny_scorer)
    loader = metric.get_metric_sampler(None, CountingLoader('abcdef'), [])
    assert list(loader) == list('aabb') and len(loader) == 4


def test_diversity_takes_the_labels_asked_for(tiny_scorer):
    """A batch of four brings four labels; three were asked for."""
    metric = SLNPDiversity(num_noises=2, num_images=3, scorer=tiny_scorer)
    results = [(value, [(0, value + 1)]) for value in (1.0, 3.0, 8.0, 99.0)]
    out = metric.compute_metrics(results)
    assert out == dict(diversity_scorer=4.0, instance_diversity=5.0)
    assert metric.last_report['features']['labels'] == 3


def halves(left, right):
    """Grey picture, (3, 32, 32), of a left and a right half."""
    image = torch.full((3, 32, 32), float(left))
    image[..., 16:] = right
    return image


def run_diversity(scorer, samples, pictures, batch, metric=None):
    """Two labels; ``pictures`` holds both images of each noise."""
    metric = metric or SLNPDiversity(num_noises=len(pictures), scorer=scorer)
    items = samples(2)
    for images in pictures:
        for item, image in zip(items, images):
            item['fake_img'] = image
        metric.process(batch, items)
    return metric


IDS = torch.tensor([0, 1]).repeat_interleave(16).expand(1, 32, 32)
PICTURES = [[halves(100, 0), halves(10, 50)], [halves(0, 100), halves(210, 250)]]


@pytest.mark.parametrize('ids', [[IDS, IDS], torch.stack([IDS, IDS])])
def test_instance_diversity_by_hand(ids, tiny_scorer, samples):
    """Label 0: halves change by 100; label 1: the tone only; mean 50. Equal images: none."""
    batch = dict(inputs=dict(instances=ids))
    metric = run_diversity(tiny_scorer, samples, PICTURES, batch)
    out = metric.evaluate()
    assert out['instance_diversity'] == pytest.approx(50.0)
    assert out['diversity_scorer'] > 0 and metric.last_report['num_images'] == 2
    metric.get_metric_sampler(None, CountingLoader('a'), [])  # of the next validation
    out = run_diversity(tiny_scorer, samples, PICTURES[:1] * 2, batch, metric).evaluate()
    assert out == dict(instance_diversity=0.0, diversity_scorer=0.0)


def test_movement_is_reported_for_each_class(tiny_scorer, samples):
    """Left halves are of class 2, the right one of class 0 in label 0 and 1 in label 1."""
    kinds = [torch.tensor([2, 0, -1]), torch.tensor([2, 1, -1])]
    batch = dict(inputs=dict(instances=[IDS, IDS], instance_labels=kinds))
    metric = run_diversity(tiny_scorer, samples, PICTURES, batch)
    metric.dataset_meta = dict(classes=('a', 'b', 'c', 'd'))
    metric.evaluate()
    moved = {k: row['instance_diversity'] for k, row in metric.last_report['per_class'].items()}
    assert moved == dict(a=100.0, b=0.0, c=50.0)


@pytest.mark.parametrize('batch', [None, {}, dict(inputs={}), dict(inputs=torch.zeros(2, 3, 4, 4))])
def test_without_instances_the_figure_is_left_out(batch, tiny_scorer, samples):
    pictures = [[halves(0, 9), halves(1, 8)], [halves(5, 5), halves(7, 0)]]
    out = run_diversity(tiny_scorer, samples, pictures, batch).evaluate()
    assert set(out) == {'diversity_scorer'}


def test_diversity_needs_two_noises():
    with pytest.raises(ValueError, match='num_noises >= 2, got 1'):
        SLNPDiversity({}, num_noises=1)


def test_distance_of_one_image_is_one_sentence():
    metric = SLNPScorerFrechet(scorer=dict(config='none.py'))
    metric.results.append(((0, ''), None))
    text = 'SLNPScorerFrechet needs at least 2 images, got 1: add images, or leave'
    with pytest.raises(ValueError, match=text):
        metric.evaluate()
