# Metrics on a scorer of ours, which each set adds.
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(type='SLNPSegMetric'),
        dict(type='SLNPScorerFrechet'),
        dict(type='SLNPDiversity', num_images=16),
    ],
)
test_evaluator = val_evaluator
