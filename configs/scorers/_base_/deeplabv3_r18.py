# DeepLabV3+ on a narrow ResNet-18 from random weights, trained on photographs at their full size:
# it shares neither weights nor a family with what taught the generator. Scored images are enlarged
# to that size, which the configs of the data sets name. It reads strides 4 and 16.
_base_ = './deeplabv3_small.py'

scorer = dict(resize_filter='bicubic')
model = dict(
    data_preprocessor=dict(size=(192, 192)),
    backbone=dict(
        num_stages=4,
        stem_channels=48,
        base_channels=48,
        out_indices=(0, 3),
        dilations=(1, 1, 1, 2),
        strides=(1, 2, 2, 1),
    ),
    decode_head=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=384,
        in_index=1,
        c1_in_channels=48,
        c1_channels=24,
        channels=96,
        dilations=(1, 3, 6, 9),
    ),
)

crop = [
    dict(type='mmseg.RandomCrop', crop_size=(192, 192), cat_max_ratio=0.75),
    dict(type='mmengine.RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs'),
]
train_dataloader = dict(batch_size=8)
val_dataloader = dict(batch_size=8)
test_dataloader = val_dataloader

train_cfg = dict(max_iters=3000, val_interval=3000)
optim_wrapper = dict(
    type='mmagic.SLNPBF16OptimWrapper',
    optimizer=dict(lr=2e-3, weight_decay=2e-2),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=100, by_epoch=False),
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=100, end=3000, by_epoch=False),
]
# to continue a stopped run: --cfg-options resume=True
default_hooks = dict(checkpoint=dict(interval=200, save_optimizer=True))
