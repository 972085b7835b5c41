val_evaluator = dict(
    type='Evaluator',
    metrics=dict(
        type='SLNPSegMetric', scorer=dict(config='configs/scorers/deeplabv3_r101_ade20k.py')
    ),
)
test_evaluator = val_evaluator
