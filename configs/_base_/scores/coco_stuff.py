val_evaluator = dict(
    type='Evaluator',
    metrics=dict(
        type='SLNPSegMetric',
        scorer=dict(config='configs/scorers/deeplabv3_r101_coco_stuff164k.py'),
        class_map='coco',
    ),
)
test_evaluator = val_evaluator
