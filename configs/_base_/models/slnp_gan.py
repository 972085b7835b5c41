# The paper's design at 128 and 256 px.
model = dict(
    type='SLNPGAN',
    num_classes=182,
    data_preprocessor=dict(type='SLNPDataPreprocessor'),
    generator=dict(
        type='SLNPGenerator',
        noise_shape=(16, 8, 8),
        global_generator=dict(type='SLNPGlobalGenerator', base_channels=64, num_blocks=6),
        refiners=[dict(type='SLNPLocalRefiner', base_channels=48, num_blocks=4)],
    ),
    discriminator=dict(type='SLNPDiscriminator', base_channels=64),
    gan_loss=dict(type='SLNPGANLoss', gan_type='log', saturating=True),
    matching_weight=10.0,  # lambda of Eq. (20)
    noise='prior',
    noise_prior=dict(
        type='NoisePriorVAE',
        arrangement='vae',
        image_size=64,
        latent_channels=16,
        base_channels=32,
        num_scales=3,
    ),
)
