optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
train_cfg = dict(by_epoch=False, max_iters=20000, val_interval=10000)
val_cfg = dict(type='MultiValLoop')
test_cfg = dict(type='MultiTestLoop')
val_evaluator = dict(type='Evaluator', metrics=dict(type='SLNPPriorMetric'))
test_evaluator = val_evaluator
auto_scale_lr = dict(enable=False, base_batch_size=32)
