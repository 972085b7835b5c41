_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/coco_stuff.py',
    './_base_/scores/coco_stuff.py',
    './_base_/models/slnp_gan.py',
    './_base_/schedules/amm.py',
]

model = dict(prior_checkpoint='work_dirs/noise_prior_coco')
