_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/toyscenes.py',
    './_base_/models/noise_prior_plus.py',
    './_base_/schedules/noise_prior.py',
]

model = dict(base_channels=8, data_preprocessor=dict(num_classes=10))
train_dataloader = dict(batch_size=16, dataset=dict(image_size=64))
val_dataloader = None
test_dataloader = None

train_cfg = dict(max_iters=300)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300))
