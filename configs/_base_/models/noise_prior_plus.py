# A code of light and tones, (16, 4, 4), and the distribution of the codes.
_base_ = ['./noise_prior.py']

model = dict(base_channels=16, num_scales=4, code_rank=64)
