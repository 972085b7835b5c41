_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/toyscenes.py',
    './_base_/models/noise_prior.py',
    './_base_/schedules/noise_prior.py',
]

model = dict(image_size=32, num_scales=2, data_preprocessor=dict(num_classes=10))
train_dataloader = dict(batch_size=16, dataset=dict(image_size=32))
val_dataloader = dict(dataset=dict(image_size=32))
test_dataloader = val_dataloader

train_cfg = dict(max_iters=400)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=400, save_best=None))
