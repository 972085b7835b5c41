"""Pictures for label files, with an untrained small network."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from slnp_mm.errors import SLNPError
from slnp_mm.generation import Generation, find_labels, write_picture

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A config of ToyScenes at 32 px, and a checkpoint that fits."""
    folder = tmp_path_factory.mktemp('generation')
    cfg = Config.fromfile(ROOT / 'configs' / 'slnp_toy.py')
    cfg.model.noise = 'random'
    cfg.test_dataloader.dataset.image_size = 32
    init_default_scope('mmagic')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    torch.save({'state_dict': model.state_dict()}, folder / 'a.pth')
    return cfg, str(folder / 'a.pth')


@pytest.fixture
def labels(tmp_path):
    folder = tmp_path / 'labels' / 'sub'
    folder.mkdir(parents=True)
    label = np.zeros((40, 40), np.uint8)
    label[10:, :20] = 3
    label[30:] = 255
    cv2.imwrite(str(folder / 'a.png'), label)
    cv2.imwrite(str(folder.parent / 'b.png'), label.T)
    return folder.parent


def test_find_labels_takes_a_file_or_a_tree(labels):
    names = [name for _, name in find_labels(str(labels))]
    assert names == ['b', 'sub/a'] or names == ['sub/a', 'b']
    file = str(labels / 'b.png')
    assert find_labels(file) == [(file, 'b')]
    with pytest.raises(SLNPError, match='no label map at /nope'):
        find_labels('/nope')


def test_write_picture_rounds_and_keeps_bgr(tmp_path):
    image = torch.zeros(3, 2, 2)
    image[0] = 254.6  # blue
    write_picture(str(tmp_path / 'new' / 'a.png'), image)
    found = cv2.imread(str(tmp_path / 'new' / 'a.png'))
    assert found[0, 0].tolist() == [255, 0, 0]
    assert len(list((tmp_path / 'new').iterdir())) == 1


def test_noises_differ_and_one_seed_repeats(trained, labels):
    generation = Generation(*trained, device='cpu')
    files = find_labels(str(labels))
    first = list(generation.run(files, seed=5, num_noises=2))
    assert sorted(name for name, _ in first) == [
        'b_0.png',
        'b_1.png',
        'sub/a_0.png',
        'sub/a_1.png',
    ]
    images = {name: save.keywords['image'] for name, save in first}
    assert images['b_0.png'].shape == (3, 32, 32)
    assert not torch.equal(images['b_0.png'], images['b_1.png'])
    # the second noise of seed 5 is the first of seed 6, in any batch
    again = dict(generation.run(files, seed=6, batch_size=1))
    torch.testing.assert_close(
        again['b.png'].keywords['image'],
        images['b_1.png'],
        atol=0.05,  # grey levels of 255; batches sum in another order
        rtol=0,
    )


def test_label_out_of_range_names_the_file(trained, tmp_path):
    cv2.imwrite(str(tmp_path / 'c.png'), np.full((8, 8), 77, np.uint8))
    generation = Generation(*trained, device='cpu')
    with pytest.raises(SLNPError, match=r'c\.png.*77|77.*c\.png'):
        list(generation.run(find_labels(str(tmp_path))))


def test_missing_instance_map_is_one_sentence(trained, labels, tmp_path):
    generation = Generation(*trained, device='cpu')
    run = generation.run(find_labels(str(labels)), str(tmp_path))
    with pytest.raises(SLNPError, match='no instance map at'):
        list(run)


def test_numbers_below_one_are_refused(trained, labels):
    generation = Generation(*trained, device='cpu')
    with pytest.raises(SLNPError, match='must be at least 1, but got 0 and'):
        list(generation.run(find_labels(str(labels)), num_noises=0))


def test_config_without_a_gan_is_one_sentence(trained):
    cfg = Config.fromfile(ROOT / 'configs' / 'noise_prior_toy.py')
    with pytest.raises(SLNPError, match='no config of a GAN'):
        Generation(cfg, trained[1], 'cpu')
