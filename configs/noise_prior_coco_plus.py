_base_ = ['./noise_prior_coco.py']

model = dict(base_channels=16, code_rank=64)
