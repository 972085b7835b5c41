import numpy as np
import pytest

from slnp_mm.datasets import DataError, SLNPLabelToImage
from slnp_mm.datasets.codec import LabelCodec


def sample():
    return dict(
        img=np.zeros((1, 3, 3), np.uint8),
        label=np.uint8([[0, 1, 255]]),
        label_codec=LabelCodec(2),
        palette=[[10, 20, 30], [1, 2, 3]],
    )


def test_palette_mode_gives_bgr_colours_and_black():
    out = SLNPLabelToImage().transform(sample())
    assert out['img_mask'].tolist() == [[[30, 20, 10], [3, 2, 1], [0, 0, 0]]]
    assert out['img_img'] is out['img']


def test_onehot_mode_puts_unlabelled_last():
    out = SLNPLabelToImage('onehot', 'a', 'b').transform(sample())
    assert (out['img_a'] == 255 * np.eye(3)[None]).all() and 'img_b' in out


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="got 'grey'"):
        SLNPLabelToImage('grey')
    with pytest.raises(DataError, match='needs SLNPLoadLabel'):
        SLNPLabelToImage().transform({})
