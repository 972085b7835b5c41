optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
train_cfg = dict(by_epoch=False, max_iters=20000)
auto_scale_lr = dict(enable=False, base_batch_size=32)
