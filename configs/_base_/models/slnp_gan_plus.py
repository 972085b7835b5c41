# The paper's design plus (docs/results.md): discriminators on frozen ImageNet features, hinge loss,
# codes of real images as noise, norms modulated by instance codes, and an averaged generator.
_base_ = ['./slnp_gan.py']

model = dict(
    generator=dict(
        global_generator=dict(modulated=True, noise_kind='code'),
        refiners=[dict(type='SLNPLocalRefiner', base_channels=48, num_blocks=4, modulated=True)],
    ),
    discriminator=dict(_delete_=True, type='SLNPPretrainedDiscriminator'),
    gan_loss=dict(gan_type='hinge'),
    matching_weight=2.0,
    code_share=0.5,
    noise_prior=dict(base_channels=16, code_rank=64),
    ema_config=dict(type='SLNPRampUpEMA', interval=1, ema_kimg=1.25, batch_size=4),
)
