_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/toyscenes.py',
    './_base_/models/slnp_gan_plus.py',
    './_base_/schedules/amm_plus.py',
]

# 64 and 128 px, small enough for a few minutes on two CPU cores.
model = dict(
    num_classes=10,
    generator=dict(
        global_generator=dict(base_channels=32, max_channels=256, num_blocks=2),
        refiners=[
            dict(
                type='SLNPLocalRefiner',
                base_channels=16,
                attention_channels=64,
                num_blocks=2,
                modulated=True,
            )
        ],
    ),
    prior_checkpoint='work_dirs/noise_prior_toy_plus',
    prior_command='python tools/train.py configs/noise_prior_toy_plus.py',
)

scorer = dict(config='configs/scorers/deeplabv3_toy.py')
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
    type='LinearLR', start_factor=1.0, end_factor=0.05, begin=150, end=300, by_epoch=False
)
train_dataloader = dict(batch_size=4)
train_cfg = dict(max_iters=300, val_interval=300)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=150))
