scorer = dict(config='configs/scorers/deeplabv3_nuclei.py')
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(type='SLNPSegMetric', scorer=scorer),
        dict(type='SLNPScorerFrechet', scorer=scorer),
        dict(type='SLNPDiversity', scorer=scorer, num_images=16),
    ],
)
del scorer
test_evaluator = val_evaluator
