_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/camvid.py',
    '../_base_/scores/camvid.py',
    '../_base_/models/slnp_gan.py',
    '../_base_/schedules/amm.py',
]

# 32 and 64 px, small enough for two CPU cores, with the paper's losses and learning rates.
model = dict(
    num_classes=11,
    generator=dict(
        global_generator=dict(base_channels=32, max_channels=256, num_blocks=2, modulated=True),
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
    discriminator=dict(base_channels=32, max_channels=256),
    prior_checkpoint='work_dirs/noise_prior_camvid',
)

param_scheduler = dict(
    type='LinearLR', start_factor=1.0, end_factor=0.05, begin=20000, end=40000, by_epoch=False
)
train_dataloader = dict(dataset=dict(image_size=64))
val_dataloader = dict(dataset=dict(image_size=64))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=40000, val_interval=5000)
