_base_ = ['./noise_prior_camvid.py']

# A small code (16 x 4 x 4) of light and tones, and the distribution of the codes.
model = dict(num_scales=4, code_rank=64)
custom_hooks = [dict(type='SLNPPriorHook')]
train_cfg = dict(max_iters=2000)
