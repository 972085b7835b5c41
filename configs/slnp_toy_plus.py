_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/toyscenes.py',
    './_base_/scores/toyscenes.py',
    './_base_/models/slnp_gan_plus.py',
    './_base_/schedules/amm_plus.py',
]

# 64 and 128 px, small enough to train in minutes on two CPU cores and to publish as 8 MB.
model = dict(
    num_classes=10,
    generator=dict(
        noise_shape=(16, 4, 4),
        global_generator=dict(base_channels=32, max_channels=160, num_blocks=2),
        refiners=[
            dict(
                type='SLNPLocalRefiner',
                base_channels=16,
                attention_channels=64,
                num_blocks=2,
                modulated=True,
            )
        ],
    ),
    noise_prior=dict(base_channels=8, num_scales=4),
    prior_checkpoint='work_dirs/noise_prior_toy_plus',
)

param_scheduler = dict(
    type='LinearLR', start_factor=1.0, end_factor=0.05, begin=250, end=500, by_epoch=False
)
train_dataloader = dict(batch_size=4)
train_cfg = dict(max_iters=500, val_interval=500)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=250))
