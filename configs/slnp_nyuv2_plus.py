_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/nyuv2.py',
    './_base_/scores/nyuv2.py',
    './_base_/models/slnp_gan_plus_half.py',
    './_base_/schedules/amm_plus_40k.py',
]

model = dict(num_classes=40, prior_checkpoint='work_dirs/noise_prior_nyuv2_plus')

train_dataloader = dict(batch_size=4)
