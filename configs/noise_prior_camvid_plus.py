_base_ = ['./noise_prior_camvid.py']

model = dict(base_channels=16, code_rank=64)
train_dataloader = dict(batch_size=16)
train_cfg = dict(max_iters=2000)
