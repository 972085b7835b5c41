# DeepLabV3 (three stages of ResNetV1c-18, ASPP head), small enough to train from scratch on two CPU
# cores at 128 px. Output stride 8.
default_scope = 'mmseg'
custom_imports = dict(imports=['slnp_mm'], allow_failed_imports=False)
scorer = dict(input_size=(128, 128), resize_filter='area')
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    _scope_='mmseg',
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(128, 128),
    ),
    backbone=dict(
        type='ResNetV1c',
        depth=18,
        num_stages=3,
        stem_channels=32,
        base_channels=32,
        out_indices=(0, 1, 2),
        dilations=(1, 1, 2),
        strides=(1, 2, 1),
        norm_cfg=norm_cfg,
        style='pytorch',
        contract_dilation=True,
    ),
    decode_head=dict(
        type='ASPPHead',
        in_channels=128,
        in_index=2,
        channels=64,
        dilations=(1, 2, 4, 6),
        dropout_ratio=0.1,
        num_classes=None,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

# Images and labels come from the generator's pipeline; only the augmentation is mmseg's.
size = (128, 128)
load = [
    dict(type='mmagic.SLNPLoadImage'),
    dict(type='mmagic.SLNPLoadLabel'),
    dict(type='mmagic.SLNPResize'),
    dict(type='mmagic.SLNPToSeg'),
]
train_pipeline = [
    *load,
    dict(
        type='mmengine.RandomResize',
        scale=size[::-1],
        ratio_range=(1.0, 1.5),
        keep_ratio=True,
        resize_type='mmengine.Resize',
    ),
    dict(type='mmseg.RandomCrop', crop_size=size, cat_max_ratio=0.9),
    dict(type='mmengine.RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [*load, dict(type='mmseg.PackSegInputs')]
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(image_size=size, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(image_size=size, test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1200, val_interval=1200)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-3, weight_decay=1e-2),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = dict(
    type='OneCycleLR', eta_max=4e-3, total_steps=1200, pct_start=0.2, by_epoch=False
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
val_evaluator = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

default_hooks = dict(
    logger=dict(type='LoggerHook', interval=25, log_metric_by_epoch=False),
    checkpoint=dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=10000,
        save_optimizer=False,
        max_keep_ckpts=1,
    ),
)
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
