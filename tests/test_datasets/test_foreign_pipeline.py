"""mmagic's own image-to-image models can read our data sets."""

import torch
from mmagic.registry import DATASETS, MODELS
from mmengine.dataset import pseudo_collate


def test_pix2pix_trains_on_our_set(folder_pair):
    pipeline = [
        dict(type='SLNPLoadImage'),
        dict(type='SLNPLoadLabel'),
        dict(type='SLNPResize', size=256),
        dict(type='SLNPLabelToImage'),
        dict(type='PackInputs', keys=['img_mask', 'img_img']),
    ]
    cfg = dict(type='SLNPDataset', data_root=str(folder_pair), pipeline=pipeline)
    dataset = DATASETS.build(dict(cfg, metainfo=dict(classes=('a', 'b', 'c'))))
    preprocessor = MODELS.build(dict(type='DataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3))
    narrow = dict(base_channels=4, norm_cfg=dict(type='BN'))
    model = MODELS.build(
        dict(
            type='Pix2Pix',
            data_preprocessor=preprocessor,
            generator=dict(narrow, type='UnetGenerator', in_channels=3, out_channels=3, num_down=8),
            discriminator=dict(narrow, type='PatchDiscriminator', in_channels=6, num_conv=3),
            default_domain='img',
            reachable_domains=['img'],
            related_domains=['img', 'mask'],
        )
    )
    data = model.data_preprocessor(pseudo_collate([dataset[0], dataset[1]]), True)['inputs']
    assert data['img_mask'].shape == data['img_img'].shape == (2, 3, 256, 256)
    assert data['img_mask'].min() >= -1 and data['img_mask'].max() <= 1
    fake = model.generators['img'](data['img_mask'])
    assert torch.isfinite(fake).all() and fake.shape == (2, 3, 256, 256)
