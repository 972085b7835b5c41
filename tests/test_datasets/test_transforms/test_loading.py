import numpy as np
import pytest
from PIL import Image

from slnp_mm.datasets import SLNPLoadInstances
from slnp_mm.datasets.instances import InstanceSource


@pytest.mark.parametrize('kind', ['8', '16', '24', '32'])
def test_id_maps_of_all_depths_give_the_same_instances_and_background(tmp_path, kind, files):
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
    label = np.uint8([[0, 0, 0, 1, 1, 1]] * 4)
    paths = dict(img_path='a.jpg', label_path='a.png', instance_path=str(tmp_path / name))
    rows, background = [[1, 1, 2, 0, 0, 0], [0, 0, 0, 1, 1, 1]], np.unique(ids).tolist()
    for row, classes, own in zip(rows, ([1, 0, 0], [0, 1]), ([], background)):
        loader = SLNPLoadInstances(source=InstanceSource(background_ids=own, num_classes=2))
        out = loader.transform(dict(label=label, **paths))
        assert out['instance_labels'].tolist() == classes
        assert out['instances'][0, 0].tolist() == row
