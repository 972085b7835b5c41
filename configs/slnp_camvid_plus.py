_base_ = ['./slnp_camvid.py']

# Beside the paper's design (docs/results.md): hinge loss, an averaged
# generator, instance codes that modulate its norms, so that noise moves
# instances further, and a loss that keeps it from ignoring the noise.
model = dict(
    generator=dict(
        global_generator=dict(modulated=True),
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
    gan_loss=dict(gan_type='hinge'),
    mode_seeking_loss=dict(type='SLNPModeSeekingLoss', max_ratio=0.1),
    ema_config=dict(type='ExponentialMovingAverage', momentum=0.005, interval=1),
)
