import numpy as np
import pytest

from slnp_mm.datasets import SLNPColorJitter


def picture():
    return np.random.default_rng(0).integers(60, 180, (9, 9, 3), np.uint8)


@pytest.mark.parametrize('strength', [0, 0.2])
def test_brightness_multiplies(monkeypatch, strength):
    monkeypatch.setattr(np.random, 'uniform', lambda a, b: 1.0)
    image = picture()
    out = SLNPColorJitter(strength, 0, 0).transform(dict(img=image.copy()))
    assert np.abs(out['img'] - (1.0 + strength) * image).max() <= 1


def test_label_and_instances_stay():
    label, ids = np.eye(9, dtype=np.uint8), np.ones((1, 9, 9), np.int16)
    data = dict(img=picture(), label=label, instances=ids)
    out = SLNPColorJitter(1, 1, 1).transform(data)
    assert out['label'] is label and out['instances'] is ids
    assert out['img'].dtype == np.uint8
    with pytest.raises(ValueError, match='must be in'):
        SLNPColorJitter(contrast=2)
