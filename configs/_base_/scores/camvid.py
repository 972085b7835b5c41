_base_ = './trained.py'
own = dict(scorer=dict(config='configs/scorers/deeplabv3_lite2_camvid.py'))
val_evaluator = dict(metrics=[dict(one, **own) for one in _base_.val_evaluator.metrics])
test_evaluator = val_evaluator
del own
