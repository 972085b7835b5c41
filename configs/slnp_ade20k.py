_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/ade20k.py',
    './_base_/scores/ade20k.py',
    './_base_/models/slnp_gan.py',
    './_base_/schedules/amm.py',
]

model = dict(num_classes=150, prior_checkpoint='work_dirs/noise_prior_ade20k')
