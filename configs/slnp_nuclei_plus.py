_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/nuclei.py',
    './_base_/scores/nuclei.py',
    './_base_/models/slnp_gan_plus_half.py',
    './_base_/schedules/amm_plus_40k.py',
]

model = dict(num_classes=2, prior_checkpoint='work_dirs/noise_prior_nuclei_plus')

train_dataloader = dict(batch_size=4)
