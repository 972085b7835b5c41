"""A tiny real mmseg scorer with fixed random weights."""

from pathlib import Path

import pytest
import torch


@pytest.fixture(scope='session')
def tiny_scorer(tmp_path_factory, scorer):
    """Dict with ``config`` and ``checkpoint`` of a 4-class scorer; it was trained on GPUs."""
    from mmengine.config import Config

    from slnp_mm.evaluation.scorers.deeplabv3 import _build_segmentor

    folder = tmp_path_factory.mktemp('scorer')
    config = folder / 'tiny.py'
    text = Path(scorer(4)['config']).read_text().replace("type='BN'", "type='SyncBN'")
    scale = 'mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]'
    config.write_text(text.replace('mean=[127.5] * 3, std=[127.5] * 3', scale))
    torch.manual_seed(0)
    model = _build_segmentor(Config.fromfile(str(config))).eval()
    with torch.no_grad():  # every class is to be predicted somewhere
        head = model.decode_head.conv_seg
        head.weight.normal_(0, 5)
        head.bias.zero_()
        head.bias -= model._forward(torch.randn(8, 3, 32, 32)).mean((0, 2, 3))
    checkpoint = folder / 'tiny.pth'
    torch.save(dict(state_dict=model.state_dict()), checkpoint)
    return dict(config=str(config), checkpoint=str(checkpoint))


@pytest.fixture
def samples():
    """Make data samples: ``samples(n)`` gives n dicts of 32 px images."""

    def make(index, gen):
        label = torch.randint(0, 4, (32, 32), generator=gen)
        label[:2, :3] = 255
        return dict(
            fake_img=torch.rand(3, 32, 32, generator=gen) * 255,
            gt_img=torch.rand(3, 32, 32, generator=gen) * 255,
            gt_sem_seg=label,
            sample_idx=index,
            img_path=f'{index}.png',
        )

    def make_all(count):
        gen = torch.Generator().manual_seed(1)
        return [make(i, gen) for i in range(count)]

    return make_all
