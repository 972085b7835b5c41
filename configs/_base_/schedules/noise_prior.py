optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
train_cfg = dict(by_epoch=False, max_iters=20000)

# The prior has no scores of its own beyond the logged ones.
val_cfg = None
val_dataloader = None
test_cfg = None
test_dataloader = None
