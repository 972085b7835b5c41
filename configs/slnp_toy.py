_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/toyscenes.py',
    './_base_/scores/toyscenes.py',
    './_base_/models/slnp_gan_small.py',
    './_base_/schedules/amm_plus.py',
]

# Trains in minutes.
model = dict(
    num_classes=10,
    discriminator=dict(num_layers=3),
    gan_loss=dict(gan_type='hinge'),
    noise_prior=dict(image_size=32, num_scales=2),
    prior_checkpoint='work_dirs/noise_prior_toy',
    ema_config=dict(type='ExponentialMovingAverage', momentum=0.01, interval=1, start_iter=200),
)

param_scheduler = dict(
    type='LinearLR', start_factor=1.0, end_factor=0.05, begin=300, end=600, by_epoch=False
)

train_dataloader = dict(batch_size=4, dataset=dict(image_size=64))
val_dataloader = dict(dataset=dict(image_size=64))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=600, val_interval=600)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200))
