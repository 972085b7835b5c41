_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/camvid.py',
    '../_base_/scores/camvid.py',
    '../_base_/models/slnp_gan_small.py',
    '../_base_/schedules/amm.py',
]

# The paper's losses and learning rates.
model = dict(num_classes=11, prior_checkpoint='work_dirs/noise_prior_camvid')

param_scheduler = dict(
    type='LinearLR', start_factor=1.0, end_factor=0.05, begin=20000, end=40000, by_epoch=False
)
train_dataloader = dict(dataset=dict(image_size=64))
val_dataloader = dict(dataset=dict(image_size=64))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=40000, val_interval=5000)
