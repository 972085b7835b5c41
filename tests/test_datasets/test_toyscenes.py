import os

import numpy as np
import pytest

from slnp_mm.datasets import SLNPCOCOStuff, SLNPToyScenes
from slnp_mm.datasets.toyscenes import CLASSES, PALETTE, draw_scene, write, write_toyscenes
from slnp_mm.errors import DataError

SMALL = dict(num_train=2, num_val=1, size=32)


@pytest.mark.parametrize('size', [32, 128])
def test_one_seed_gives_one_scene_of_three_arrays(size):
    arrays = draw_scene((0, 1, 2), size)
    assert all(map(np.array_equal, arrays, draw_scene((0, 1, 2), size)))
    assert [array.shape for array in arrays] == [(size, size, 3), (size, size), (size, size)]
    assert all(array.dtype == np.uint8 for array in arrays)
    assert (draw_scene((0, 1, 3), size)[0] != arrays[0]).any()


def test_every_class_occurs_and_every_object_has_one_class():
    seen = set()
    for number in range(40):
        _, label, ids = draw_scene((0, 0, number), 64)
        seen |= set(np.unique(label).tolist())
        for obj in np.unique(ids[ids != 255]):
            assert len(np.unique(label[ids == obj])) == 1
        assert (ids[label == 255] == 255).all()
    assert seen == {*range(len(CLASSES)), 255}
    assert len(CLASSES) == len(PALETTE) >= 8


def test_objects_overlap_and_vary_in_color():
    cars, hidden = [], 0
    for number in range(60):
        image, label, ids = draw_scene((1, 0, number), 64)
        cars += [image[ids == i].mean(0) for i in np.unique(ids[label == 8])]
        hidden += len(np.unique(ids)) < ids[ids < 255].max() + 1
    assert np.std(cars, 0).min() > 25  # grey levels
    assert hidden > 5  # scenes with an object hidden by nearer ones


def test_set_is_written_once_and_reused(tmp_path, capsys):
    out = str(tmp_path / 'toy')
    assert write_toyscenes(out, **SMALL, progress=True)
    assert ' 3/3, ' in capsys.readouterr().err  # the bar
    before = os.stat(out).st_ino
    assert not write_toyscenes(out, **SMALL)
    assert os.stat(out).st_ino == before
    assert write_toyscenes(out, **{**SMALL, 'num_val': 2})
    assert len(os.listdir(f'{out}/images/val2017')) == 2
    assert os.listdir(tmp_path) == ['toy']


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def stop(seed, size):
        if seed[2] == 1:
            raise KeyboardInterrupt
        return draw_scene(seed, size)

    monkeypatch.setattr(write, 'draw_scene', stop)
    with pytest.raises(KeyboardInterrupt):
        write_toyscenes(str(tmp_path / 'toy'), **SMALL)
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_drawn_is_refused_and_a_foreign_folder_not_touched(tmp_path):
    for size in (30, 65):
        with pytest.raises(ValueError, match=f'even number >= 32, got {size}'):
            draw_scene((0,), size)
    with pytest.raises(DataError, match='num_val must be >= 1, got 0'):
        write_toyscenes(str(tmp_path / 'a'), 1, 0)
    (tmp_path / 'mine.txt').write_text('x')
    with pytest.raises(DataError, match='was not written by this tool'):
        write_toyscenes(str(tmp_path), **SMALL)
    assert [path.read_text() for path in tmp_path.iterdir()] == ['x']


def test_missing_set_names_the_command_that_draws_it(tmp_path):
    root = str(tmp_path / 'toy')
    with pytest.raises(DataError) as caught:
        SLNPToyScenes(data_root=root, pipeline=[])
    assert str(caught.value) == (
        f'data root {root} not found; draw it with "python tools/make_toyscenes.py --out {root}"'
    )


def test_files_are_laid_out_as_in_coco_stuff(tmp_path):
    write_toyscenes(str(tmp_path / 'toy'), **SMALL)
    files = {str(path.relative_to(tmp_path / 'toy')) for path in (tmp_path / 'toy').rglob('*.*')}
    names = ['train2017/000000', 'train2017/000001', 'val2017/000000']
    ends = {'images': '.jpg', 'stuffthingmaps': '.png', 'instances': '.png'}
    assert files == {'toyscenes.json', 'classes.txt'} | {
        f'{folder}/{name}{end}' for folder, end in ends.items() for name in names
    }
    toy = SLNPToyScenes(data_root=str(tmp_path / 'toy'), pipeline=[])
    coco = SLNPCOCOStuff(data_root=str(tmp_path / 'toy'), pipeline=[])
    ours, theirs = toy.get_data_info(0), coco.get_data_info(0)
    for key in ('img_path', 'label_path', 'instance_path'):
        assert ours[key] == theirs[key]
