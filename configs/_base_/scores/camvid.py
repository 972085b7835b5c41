# The first scorer judges: it has seen nothing of what taught the generator (docs/scores.md).
judge = dict(config='configs/scorers/deeplabv3_r18_camvid.py')
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(type='SLNPSegMetric', scorer=judge),
        dict(
            type='SLNPSegMetric',
            scorer=dict(config='configs/scorers/deeplabv3_lite2_camvid.py'),
            prefix='lite2',
        ),
        dict(type='SLNPScorerFrechet', scorer=judge, manifold=False),
        dict(type='SLNPDiversity', scorer=judge, num_images=16),
    ],
)
del judge
test_evaluator = val_evaluator
