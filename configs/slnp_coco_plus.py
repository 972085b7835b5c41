_base_ = ['./slnp_coco.py']

# What slnp_camvid_plus.py adds, and AMM with less momentum (docs/results.md).
model = dict(
    generator=dict(
        global_generator=dict(modulated=True),
        refiners=[
            dict(
                type='SLNPLocalRefiner',
                base_channels=48,
                num_blocks=4,
                modulated=True,
            )
        ],
    ),
    gan_loss=dict(gan_type='hinge'),
    mode_seeking_loss=dict(type='SLNPModeSeekingLoss', max_ratio=0.1),
    ema_config=dict(type='ExponentialMovingAverage', momentum=0.001, interval=1),
)
amm = dict(betas=(0.0, 0.99), momentum=0.5)
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=4e-4, **amm)),
    discriminator=dict(optimizer=dict(lr=2e-4, **amm)),
)
del amm
