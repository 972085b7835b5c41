"""Inception features equal mmagic's own network's."""

import numpy as np
import torch

from slnp_mm.evaluation.scorers import InceptionFeatures

LAYERS = """
Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2
Mixed_5b Mixed_5c Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c
"""


def test_weights_from_a_file_give_mmagics_features(tmp_path):
    from mmagic.evaluation.functional import fid_inception

    torch.manual_seed(0)
    whole = fid_inception.fid_inception_v3(load_ckpt=False).eval()
    path = str(tmp_path / 'inception.pth')
    torch.save(whole.state_dict(), path)
    net = InceptionFeatures(path)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    got = net.features([image])
    assert got.shape == (1, 2048)
    rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None]
    rgb = torch.nn.functional.interpolate(
        (rgb.float() - 127.5) / 127.5, (299, 299), mode='bilinear'
    )
    with torch.no_grad():
        x = rgb
        for name in LAYERS.split():
            x = getattr(whole, name)(x)
        want = x.mean(dim=(2, 3))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
