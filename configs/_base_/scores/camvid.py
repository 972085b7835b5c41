# The first scorer judges: it shares nothing with what taught the generator (docs/scores.md).
_base_ = './trained.py'
judge = dict(scorer=dict(config='configs/scorers/deeplabv3_r18_camvid.py'))
second = dict(scorer=dict(config='configs/scorers/deeplabv3_lite2_camvid.py'), prefix='lite2')
val_evaluator = dict(
    metrics=[
        *[dict(one, **judge) for one in _base_.val_evaluator.metrics],
        dict(type='SLNPSegMetric', **second),
    ]
)
test_evaluator = val_evaluator
del judge, second
