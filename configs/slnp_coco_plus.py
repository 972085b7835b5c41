_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/coco_stuff.py',
    './_base_/scores/coco_stuff.py',
    './_base_/models/slnp_gan_plus.py',
    './_base_/schedules/amm_plus.py',
]

model = dict(
    discriminator=dict(upsample_factor=1.5),
    ema_config=dict(ema_kimg=10, batch_size=8),
    prior_checkpoint='work_dirs/noise_prior_coco_plus',
)
