_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/camvid.py',
    './_base_/scores/camvid.py',
    './_base_/models/slnp_gan.py',
    './_base_/schedules/amm.py',
]

# 367 training images: the paper's design at half its widths.
model = dict(
    num_classes=11,
    generator=dict(
        global_generator=dict(base_channels=32, max_channels=256, num_blocks=4),
        refiners=[
            dict(type='SLNPLocalRefiner', base_channels=24, attention_channels=64, num_blocks=3)
        ],
    ),
    discriminator=dict(base_channels=32, max_channels=256),
    gan_loss=dict(saturating=False),
    prior_checkpoint='work_dirs/noise_prior_camvid',
    prior_command='python tools/train.py configs/noise_prior_camvid.py',
)

# With the paper's betas and alpha pictures saturate (docs/results.md).
amm = dict(betas=(0.0, 0.99), momentum=0.5)
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=4e-4, **amm)),
    discriminator=dict(optimizer=dict(lr=2e-4, **amm)),
)
del amm
param_scheduler = dict(
    type='LinearLR', start_factor=1.0, end_factor=0.05, begin=20000, end=40000, by_epoch=False
)
train_cfg = dict(max_iters=40000, val_interval=5000)
