import numpy as np
import pytest
from PIL import Image

from slnp_mm.datasets import DataError, SLNPLoadInstances
from slnp_mm.datasets.instances import InstanceSource


def load(tmp_path, ids_name='', source=None, **kwargs):
    label = np.zeros((4, 6), np.uint8)
    label[:, 3:] = 1
    data = dict(
        label=label,
        img_path=str(tmp_path / 'a.jpg'),
        label_path=str(tmp_path / 'a.png'),
        instance_path=str(tmp_path / ids_name) if ids_name else '',
    )
    source = source or InstanceSource(num_classes=2)
    return SLNPLoadInstances(source=source, **kwargs).transform(data)


@pytest.mark.parametrize('kind', ['8', '16', '24', '32'])
def test_id_maps_of_all_depths_give_the_same_instances(tmp_path, kind, files):
    ids = np.zeros((4, 6), np.int64)
    ids[:, 2:3], ids[:, 3:] = 5, 77
    if kind in ('16', '32'):
        ids *= 500
    if kind == '32':
        ids *= 100
        Image.fromarray(ids.astype(np.int32), 'I').save(tmp_path / 'i.tif')
    elif kind == '24':
        ids *= 3000
        rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1)
        files.png(tmp_path / 'i.png', rgb)
    else:
        files.png(tmp_path / 'i.png', ids.astype(f'uint{kind}'))
    name = 'i.tif' if kind == '32' else 'i.png'
    out = load(tmp_path, name)
    assert out['instance_labels'].tolist() == [1, 0, 0]
    assert out['instances'][0, 0].tolist() == [1, 1, 2, 0, 0, 0]


def test_background_ids_are_joined_by_class(tmp_path, files):
    ids = np.uint8([[0, 9, 0, 0, 9, 9]] * 4)
    files.png(tmp_path / 'i.png', ids)
    source = InstanceSource(background_ids=(0, 9), num_classes=2)
    out = load(tmp_path, 'i.png', source)
    assert out['instance_labels'].tolist() == [0, 1]


def test_overlap_gives_as_many_layers(tmp_path):
    out = load(tmp_path, max_overlap=2, max_instances=7)
    assert out['instances'].shape == (2, 4, 6) and out['max_instances'] == 7


@pytest.mark.parametrize('kwargs', [dict(max_instances=0), dict(max_overlap=0)])
def test_bad_settings_are_refused(tmp_path, kwargs):
    with pytest.raises(DataError, match='got 0'):
        load(tmp_path, **kwargs)
