# Half the channels, for a few hundred training images.
_base_ = ['./slnp_gan_plus.py']

model = dict(
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
    discriminator=dict(upsample_factor=(1.2, 1.8)),  # sampled in each step
)
