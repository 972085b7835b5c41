_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/nyuv2.py',
    './_base_/models/slnp_gan_plus_half.py',
    './_base_/schedules/amm_plus_40k.py',
]

model = dict(num_classes=40, prior_checkpoint='work_dirs/noise_prior_nyuv2_plus')

scorer = dict(config='configs/scorers/deeplabv3_lite2_nyuv2.py')
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

train_dataloader = dict(batch_size=4)
