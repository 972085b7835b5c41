# 40 000 iterations with linear decay in the second half.
_base_ = ['./amm_plus.py']

param_scheduler = dict(
    type='LinearLR', start_factor=1.0, end_factor=0.05, begin=20000, end=40000, by_epoch=False
)
train_cfg = dict(max_iters=40000, val_interval=5000)
