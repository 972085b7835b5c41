# What each choice of slnp_toy.py brings, and the paper's ablations: every
# variant changes one thing of the base. ToyScenes, 64 px.
seeds = [0]
prepare = [
    dict(
        makes='data/toyscenes/images', command='python tools/make_toyscenes.py'
    ),
    dict(
        makes='work_dirs/deeplabv3_toy/scorer.pth',
        command='python tools/train_scorer.py '
        'configs/scorers/deeplabv3_toy.py',
    ),
    dict(
        makes='work_dirs/noise_prior_toy/last_checkpoint',
        command='python tools/train.py configs/noise_prior_toy.py',
    ),
]
cfg_options = dict(
    train_cfg=dict(max_iters=400, val_interval=400),
    param_scheduler=dict(begin=200, end=400),
)
base = 'configs/slnp_toy.py'
ablation = 'configs/ablations/slnp_toy_'


def amm(alpha):
    """AMM of another alpha at the same steady step, eta / (1 - alpha)."""
    one = dict(optimizer=dict(lr=4e-4 * (1 - alpha), momentum=alpha))
    return dict(optim_wrapper=dict(generator=one, discriminator=one))


def model(**options):
    return dict(config=base, cfg_options=dict(model=options))


variants = dict(
    base=dict(config=base),
    alpha_half=dict(config=base, cfg_options=amm(0.5)),
    alpha_paper=dict(config=base, cfg_options=amm(0.9)),
    spectral_norm=model(discriminator=dict(norm='spectral')),
    instance_norm=model(discriminator=dict(norm='instance')),
    no_ema=model(ema_config=None),
    log_loss=dict(config=f'{ablation}log-loss.py'),
    lambda_2=model(feature_loss=dict(loss_weight=2)),
    lambda_20=model(feature_loss=dict(loss_weight=20)),
    unmodulated=model(
        generator={
            'global_generator.modulated': False,
            'refiners.0.modulated': False,
        }
    ),
    r1=model(r1_loss=dict(type='SLNPR1Loss')),
    augment=model(augment=dict(type='SLNPDiffAugment')),
    random_noise=dict(config=f'{ablation}random-noise.py'),
    fig4_prior=dict(config=f'{ablation}fig4-prior.py'),
    no_attention=dict(config=f'{ablation}no-attention.py'),
    no_instances=dict(config=f'{ablation}no-instances.py'),
    one_stage=dict(config=f'{ablation}one-stage.py'),
)
del base, ablation
