_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/camvid.py',
    './_base_/models/noise_prior.py',
    './_base_/schedules/noise_prior.py',
]

model = dict(data_preprocessor=dict(num_classes=11))
train_dataloader = dict(batch_size=32, dataset=dict(image_size=64))
val_dataloader = dict(dataset=dict(image_size=64))
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(save_best=None))
