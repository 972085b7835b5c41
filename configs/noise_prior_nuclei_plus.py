_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/nuclei.py',
    './_base_/models/noise_prior.py',
    './_base_/schedules/noise_prior.py',
]

model = dict(base_channels=16, code_rank=64, data_preprocessor=dict(num_classes=2))
train_dataloader = dict(batch_size=16, dataset=dict(image_size=64))
train_cfg = dict(max_iters=2000)
val_dataloader = dict(dataset=dict(image_size=64))
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(save_best=None))
