_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/camvid.py',
    './_base_/scores/camvid.py',
    './_base_/models/slnp_gan.py',
    './_base_/schedules/amm_plus_40k.py',
]

# 367 training images: the paper's design with half the channels.
model = dict(
    num_classes=11,
    generator=dict(
        global_generator=dict(base_channels=32, max_channels=256, num_blocks=4),
        refiners=[
            dict(type='SLNPLocalRefiner', base_channels=24, attention_channels=64, num_blocks=3)
        ],
    ),
    discriminator=dict(base_channels=32, max_channels=256),
    gan_loss=dict(saturating=False),
    prior_checkpoint='work_dirs/noise_prior_camvid',
)
