_base_ = ['./noise_prior_ade20k.py']

model = dict(base_channels=16, code_rank=64)
