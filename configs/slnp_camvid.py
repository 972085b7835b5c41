_base_ = [
    './_base_/default_runtime.py', './_base_/datasets/camvid.py',
    './_base_/models/slnp_gan.py', './_base_/schedules/amm.py'
]

num_classes = 11
model = dict(
    data_preprocessor=dict(num_classes=num_classes),
    generator=dict(num_classes=num_classes),
    discriminator=dict(num_classes=num_classes),
    prior_checkpoint='work_dirs/noise_prior_camvid',
    prior_command='python tools/train.py configs/noise_prior_camvid.py')

val_evaluator = dict(
    type='Evaluator',
    metrics=dict(
        type='SLNPSegMetric',
        scorer=dict(config='configs/scorers/deeplabv3_camvid.py')))
test_evaluator = val_evaluator

train_cfg = dict(max_iters=40000, val_interval=5000)
