# Latent (16, 8, 8) for 64 px images; the GAN's `noise_shape` must match.
model = dict(
    type='NoisePriorVAE',
    arrangement='vae',
    image_size=64,
    latent_channels=16,
    base_channels=32,
    num_scales=3,
    recon_std=0.1,
    data_preprocessor=dict(type='SLNPDataPreprocessor', num_classes=182),
)
