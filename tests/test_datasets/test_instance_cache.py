from pathlib import Path

import numpy as np
import pytest

from slnp_mm.datasets.instance_cache import InstanceCache, file_stamp
from slnp_mm.datasets.instances import Instances


@pytest.fixture
def found():
    rng = np.random.default_rng(0)
    layers = np.repeat(rng.integers(-1, 5, (2, 8, 2)), 4, 2).astype(np.int16)
    return Instances(layers, np.int16([3, 1, 4, 1, 5]))


def _files(root):
    return [p for p in Path(root).rglob('*') if p.is_file()]


def test_saved_map_comes_back_and_that_of_other_settings_is_replaced(tmp_path, found):
    cache = InstanceCache(str(tmp_path))
    cache.save('a', ['x'], found)
    again = cache.load('a', ['x'])
    assert (again.layers == found.layers).all() and (again.classes == found.classes).all()
    assert cache.load('a', ['y']) is None
    cache.save('a', ['y'], found)
    assert len(_files(tmp_path)) == 1  # replaced, not kept beside


@pytest.mark.parametrize('damage', ['cut', 'flip', 'empty', 'text'])
def test_damaged_file_is_rebuilt_not_trusted(tmp_path, found, damage):
    cache = InstanceCache(str(tmp_path))
    cache.save('a', ['x'], found)
    path = _files(tmp_path)[0]
    data = bytearray(path.read_bytes())
    if damage == 'flip':
        data[-3] ^= 255
    path.write_bytes(dict(cut=data[:-5], flip=data, empty=b'', text=b'hello' * 50)[damage])
    assert cache.load('a', ['x']) is None
    cache.save('a', ['x'], found)
    assert cache.load('a', ['x']) is not None


def test_unwritable_folder_warns_once_and_goes_on(tmp_path, found):
    (tmp_path / 'file').write_text('')
    cache = InstanceCache(str(tmp_path / 'file' / 'below'))
    with pytest.warns(UserWarning, match='set cache_dir .* writable'):
        cache.save('a', ['x'], found)
    cache.save('a', ['x'], found)
    assert cache.load('a', ['x']) is None


def test_none_keeps_nothing_and_auto_is_the_user_cache(found, monkeypatch, tmp_path):
    cache = InstanceCache(None)
    cache.save('a', ['x'], found)
    assert cache.load('a', ['x']) is None
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert InstanceCache('auto').root == str(tmp_path / 'slnp_mm/instances')


def test_stamp_changes_with_the_file(tmp_path):
    path = tmp_path / 'a'
    path.write_text('1')
    before = file_stamp(str(path))
    path.write_text('22')
    assert file_stamp(str(path)) != before
    path.unlink()
    assert 'missing' in file_stamp(str(path)) and file_stamp('') == ''
