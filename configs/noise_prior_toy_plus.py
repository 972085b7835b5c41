_base_ = ['./noise_prior_toy.py']

model = dict(image_size=64, base_channels=8, num_scales=4, code_rank=64)
train_dataloader = dict(dataset=dict(image_size=64))
val_dataloader = dict(dataset=dict(image_size=64))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=300)
default_hooks = dict(checkpoint=dict(interval=300))
