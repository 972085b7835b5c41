# 32 and 64 px, small enough for two CPU cores.
_base_ = ['./slnp_gan.py']

model = dict(
    generator=dict(
        global_generator=dict(base_channels=32, max_channels=256, num_blocks=2, modulated=True),
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
    discriminator=dict(base_channels=32, max_channels=256),
)
