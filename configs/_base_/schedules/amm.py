# Paper, 2.1: AMM, eta 1e-4 (G) and 4e-4 (D), betas, delta and alpha.
# The length is ours: the paper gives hours (171 on one P100), not iterations.
amm = dict(type='AMM', betas=(0.9, 0.999), delta=1e-8, momentum=0.9)
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    generator=dict(type='OptimWrapper', optimizer=dict(lr=1e-4, **amm)),
    discriminator=dict(type='OptimWrapper', optimizer=dict(lr=4e-4, **amm)),
)
del amm

train_cfg = dict(by_epoch=False, max_iters=200000, val_interval=10000)
val_cfg = dict(type='MultiValLoop')
test_cfg = dict(type='MultiTestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=8)
