_base_ = ['./slnp_camvid.py']

# Beside the paper's design (docs/results.md): a discriminator that looks through a frozen
# ImageNet network, hinge loss, codes of photographs as noise, instance codes that modulate the
# generator's norms, and an averaged generator.
model = dict(
    generator=dict(
        noise_shape=(16, 4, 4),
        global_generator=dict(modulated=True, noise_kind='code'),
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
    discriminator=dict(_delete_=True, type='SLNPPretrainedDiscriminator'),
    gan_loss=dict(gan_type='hinge'),
    feature_loss=dict(loss_weight=2.0),
    code_share=0.5,
    noise_prior=dict(num_scales=4, code_rank=64),
    prior_checkpoint='work_dirs/noise_prior_camvid_plus',
    prior_command='python tools/train.py configs/noise_prior_camvid_plus.py',
    ema_config=dict(type='RampUpEMA', interval=1, ema_kimg=1.25, ema_rampup=0.05, batch_size=4),
)
