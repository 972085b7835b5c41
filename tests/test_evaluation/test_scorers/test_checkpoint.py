"""Weights of a scorer: found, fetched, checked."""

import hashlib
import os

import pytest
import torch

from slnp_mm.errors import SLNPError
from slnp_mm.evaluation.scorers import DeepLabV3Scorer, InceptionFeatures
from slnp_mm.evaluation.scorers.checkpoint import fetch, published_weights, resolve_checkpoint


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A torch cache of our own."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    return tmp_path / 'hub' / 'checkpoints'


def test_missing_checkpoint_names_the_command():
    with pytest.raises(
        SLNPError,
        match='work/s.pth does not exist: train it with `python tools/train_scorer.py c.py`',
    ):
        resolve_checkpoint('c.py', dict(checkpoint='work/s.pth'), None)
    with pytest.raises(ValueError, match='c.py names no weights'):
        resolve_checkpoint('c.py', {}, None)


@pytest.mark.parametrize(
    'name, model, digits',
    [
        ('coco_stuff164k', 'deeplabv3_r101-d8_4xb4-80k_coco-stuff164k-512x512', '13600dc2'),
        ('ade20k', 'deeplabv3_r101-d8_4xb4-160k_ade20k-512x512', 'b1f72b3b'),
    ],
)
def test_published_weights_come_from_mmsegs_metafile(name, model, digits):
    from mmengine.config import Config

    cfg = Config.fromfile(f'configs/scorers/deeplabv3_r101_{name}.py')
    assert cfg.scorer.published.model == model
    url, got = published_weights(**cfg.scorer.published)
    assert url.startswith('https://') and got == digits
    assert cfg.model.backbone.depth == 101
    assert cfg.model.decode_head.num_classes in (150, 171)


def test_unknown_published_model():
    with pytest.raises(ValueError, match="got 'nothing', which it does not"):
        published_weights('deeplabv3/metafile.yaml', 'nothing')


def test_fetch_checks_the_hash_and_keeps_the_file(tmp_path, hub):
    source = tmp_path / 'weights.pth'
    source.write_bytes(b'weights')
    digest = hashlib.sha256(b'weights').hexdigest()
    url = source.as_uri()
    with pytest.raises(ValueError, match='SHA-256 starting with 00000000'):
        fetch(url, '00000000')
    assert not (hub / 'weights.pth').exists()
    path = fetch(url, digest[:8])
    assert open(path, 'rb').read() == b'weights'
    source.unlink()
    assert fetch(url, digest[:8]) == path


def test_failed_download_says_where_to_put_the_file(tmp_path, hub):
    url = (tmp_path / 'gone.pth').as_uri()
    with pytest.raises(SLNPError, match='put the file at .*gone.pth'):
        fetch(url)


def test_local_file_and_file_url_give_the_same_scorer(tiny_scorer, hub):
    path = tiny_scorer['checkpoint']
    url = f'file://{os.path.abspath(path)}'
    local = DeepLabV3Scorer(**tiny_scorer).describe()
    fetched = DeepLabV3Scorer(tiny_scorer['config'], url).describe()
    assert local['sha256'] == fetched['sha256']
    with pytest.raises(SLNPError, match='nowhere.py, which does not'):
        DeepLabV3Scorer('nowhere.py')


def test_weights_of_another_scorer_are_refused(tiny_scorer, tmp_path):
    state = torch.load(tiny_scorer['checkpoint'], weights_only=True)
    state = state['state_dict']
    state['decode_head.conv_seg.weight'] = torch.zeros(7, 8, 1, 1)
    path = tmp_path / 'other.pth'
    torch.save(dict(state_dict=state), path)
    words = r'of another scorer: .*conv_seg.weight: .*\[7, 8, 1, 1\].* model is .*\[4, 8, 1, 1\]'
    with pytest.raises(ValueError, match=words):
        DeepLabV3Scorer(tiny_scorer['config'], str(path))

    # an unsafe pickle
    torch.save(dict(state_dict=dict(a=os.system)), path)
    with pytest.raises(SLNPError, match='cannot be read as a checkpoint'):
        DeepLabV3Scorer(tiny_scorer['config'], str(path))


def test_input_size_and_filter_change_the_prediction(tiny_scorer):
    image = (torch.rand(32, 32, 3) * 255).to(torch.uint8).numpy()
    plain = DeepLabV3Scorer(**tiny_scorer)
    small = DeepLabV3Scorer(**tiny_scorer, input_size=(16, 16))
    out = small.predict([image], [(32, 32)])[0]
    assert out.shape == (32, 32) and out.dtype == torch.int64
    assert (out != plain.predict([image], [(32, 32)])[0]).any()
    with pytest.raises(ValueError, match="'area', 'bicubic'.*got 'magic'"):
        DeepLabV3Scorer(**tiny_scorer, resize_filter='magic')
    assert plain.features([image]).shape == (1, 8)


def test_inception_names_the_weights_it_wants(tmp_path):
    with pytest.raises(
        SLNPError, match='w.pth do not exist: put .*pt_inception-2015-12-05-6726825d.pth there'
    ):
        InceptionFeatures('w.pth')
    torch.save(dict(a=torch.zeros(1)), tmp_path / 'w.pth')
    with pytest.raises(ValueError, match='FID weights of Inception v3'):
        InceptionFeatures(str(tmp_path / 'w.pth'))
