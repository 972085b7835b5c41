# mmagic's Pix2Pix as its base config has it, on CamVid at 128 px: what the tables compare with.
_base_ = ['./_base_/default_runtime.py', './_base_/scores/camvid.py']

pipeline = [
    dict(type='SLNPLoadImage'),
    dict(type='SLNPLoadLabel'),
    dict(type='SLNPResize'),
    dict(type='SLNPLabelToImage', mode='onehot', image_domain='img'),
    dict(type='CopyValues', src_keys=['img', 'label'], dst_keys=['gt_img', 'gt_sem_seg']),
    dict(
        type='PackInputs',
        keys=['img_mask', 'img_img'],
        data_keys=['gt_img', 'gt_sem_seg'],
        meta_keys=['img_path', 'sample_idx'],
    ),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='SLNPCamVid',
        split='train',
        image_size=128,
        pipeline=[*pipeline[:3], dict(type='SLNPFlip', prob=0.5), *pipeline[3:]],
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SLNPCamVid', split='val', image_size=128, test_mode=True, pipeline=pipeline),
)
test_dataloader = val_dataloader
channels = 12
model = dict(
    type='Pix2Pix',
    data_preprocessor=dict(
        type='DataPreprocessor', mean=127.5, std=127.5, data_keys=['img_mask', 'img_img']
    ),
    generator=dict(
        type='UnetGenerator',
        in_channels=channels,
        out_channels=3,
        num_down=7,
        base_channels=64,
        norm_cfg=dict(type='BN'),
        use_dropout=True,
    ),
    discriminator=dict(
        type='PatchDiscriminator',
        in_channels=channels + 3,
        base_channels=64,
        num_conv=3,
        norm_cfg=dict(type='BN'),
    ),
    loss_config=dict(pixel_loss_weight=100.0),
    default_domain='img',
    reachable_domains=['img'],
    related_domains=['img', 'mask'],
)
adam = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=2e-4, betas=(0.5, 0.999)))
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor', generators=adam, discriminators=adam
)
train_cfg = dict(by_epoch=False, max_iters=1000, val_interval=1000)
val_cfg = dict(type='MultiValLoop')
test_cfg = dict(type='MultiTestLoop')
scorer = dict(config='configs/scorers/deeplabv3_lite2_camvid.py')
val_evaluator = dict(
    metrics=[
        dict(type='SLNPSegMetric', scorer=scorer),
        dict(type='SLNPScorerFrechet', scorer=scorer, manifold=False),
    ]
)
del scorer
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=200, save_best=None))
custom_hooks = [dict(type='SLNPReportHook')]
