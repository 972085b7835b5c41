_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/nyuv2.py',
    './_base_/models/slnp_gan_plus.py',
    './_base_/schedules/amm_plus.py',
]

# A few hundred training images: half the widths.
model = dict(
    num_classes=40,
    generator=dict(
        global_generator=dict(base_channels=32, max_channels=256, num_blocks=4),
        refiners=[
            dict(
                type='SLNPLocalRefiner',
                base_channels=24,
                attention_channels=64,
                num_blocks=3,
                modulated=True,
            )
        ],
    ),
    prior_checkpoint='work_dirs/noise_prior_nyuv2_plus',
    prior_command='python tools/train.py configs/noise_prior_nyuv2_plus.py',
)

scorer = dict(config='configs/scorers/deeplabv3_lite2_nyuv2.py')
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(type='SLNPSegMetric', scorer=scorer),
        dict(type='SLNPScorerFrechet', scorer=scorer, manifold=False),
        dict(type='SLNPDiversity', scorer=scorer, num_images=16),
    ],
)
del scorer
test_evaluator = val_evaluator

param_scheduler = dict(
    type='LinearLR', start_factor=1.0, end_factor=0.05, begin=20000, end=40000, by_epoch=False
)
train_dataloader = dict(batch_size=4)
train_cfg = dict(max_iters=40000, val_interval=5000)
