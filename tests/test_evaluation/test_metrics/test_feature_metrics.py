"""Scorer distances and diversity."""

import numpy as np
import pytest
import torch
from mmagic.registry import METRICS

from slnp_mm.evaluation import SLNPFID, SLNPDiversity, SLNPScorerFrechet
from slnp_mm.evaluation.functional import feature_statistics, frechet_distance
from slnp_mm.evaluation.metrics.slnp_diversity import RepeatedLoader


def test_names_resolve_from_mmagics_registry():
    for name in ('SLNPFID', 'SLNPScorerFrechet', 'SLNPDiversity'):
        assert METRICS.get(name).__name__ == name


def test_scorer_frechet_is_the_distance_of_its_features(tiny_scorer, samples):
    metric = SLNPScorerFrechet(scorer=tiny_scorer)
    batch = samples(12)
    metric.process(None, batch[:7])
    metric.process(None, batch[7:])
    out = metric.evaluate(12)
    fake = metric.extractor.features(metric.images(batch, 'fake_img'))
    real = metric.extractor.features(metric.images(batch, 'gt_img'))
    want = frechet_distance(
        feature_statistics(real.numpy()), feature_statistics(fake.numpy())
    )
    assert out['scorer_frechet'] == pytest.approx(want, abs=1e-5)
    assert not any('FID' in name for name in out)


def test_equal_sets_have_distance_zero(tiny_scorer, samples):
    metric = SLNPScorerFrechet(scorer=tiny_scorer, manifold=False)
    batch = samples(10)
    for item in batch:
        item['fake_img'] = item['gt_img']
    metric.process(None, batch)
    assert metric.evaluate()['scorer_frechet'] == pytest.approx(0, abs=1e-4)


def test_real_features_are_cached_by_content(tiny_scorer, samples, tmp_path):
    path = str(tmp_path / 'real.npz')
    first = SLNPScorerFrechet(scorer=tiny_scorer, cache=path)
    first.process(None, samples(9))
    want = first.evaluate()
    second = SLNPScorerFrechet(scorer=tiny_scorer, cache=path)
    assert len(second.extractor.describe()) and len(second._real) == 9
    second.process(None, samples(9))
    assert second.evaluate() == want
    other = SLNPScorerFrechet(
        scorer=dict(tiny_scorer, input_size=(16, 16)), cache=path
    )
    assert other.extractor.input_size == (16, 16)
    assert other._real == {}


def test_fid_names_its_missing_weights(samples):
    metric = SLNPFID(weights='missing.pth')
    with pytest.raises(FileNotFoundError, match='missing.pth do not exist'):
        metric.process(None, samples(2))


class CountingLoader(list):
    batch_size = 2


def test_loader_repeats_each_batch():
    loader = RepeatedLoader(CountingLoader('abc'), 3, 4)
    assert list(loader) == list('aaabbb') and len(loader) == 6


def test_diversity_of_constant_and_changing_noise(tiny_scorer, samples):
    metric = SLNPDiversity(num_noises=2, scorer=tiny_scorer)
    batch = samples(2)
    metric.process(None, batch)
    metric.process(None, batch)
    assert metric.evaluate()['diversity_scorer'] == 0.0
    metric.get_metric_sampler(None, CountingLoader('a'), [])
    for _ in range(2):
        for item in batch:
            item['fake_img'] = torch.rand(3, 32, 32) * 255
        metric.process(None, batch)
    assert metric.evaluate()['diversity_scorer'] > 0.0
    assert metric.last_report['num_images'] == 2


@pytest.mark.parametrize(
    'kwargs, text',
    [
        (dict(num_noises=1, lpips_weights='x'), 'num_noises >= 2, got 1'),
        (dict(), 'either `scorer` or `lpips_weights`'),
        (dict(scorer={}, lpips_weights='x'), 'either `scorer` or `lpips_'),
    ],
)
def test_diversity_settings(kwargs, text):
    with pytest.raises(ValueError, match=text):
        SLNPDiversity(**kwargs)


def test_missing_identity_is_allowed_alone(tiny_scorer, samples):
    metric = SLNPScorerFrechet(scorer=tiny_scorer, manifold=False)
    batch = samples(9)
    for item in batch:
        del item['sample_idx'], item['img_path']
    metric.process(None, batch)
    assert np.isfinite(metric.evaluate(9)['scorer_frechet'])
