# What each choice of slnp_toy.py brings, and the paper's ablations (those of
# the noise: noise_toy.py). Every variant but amm_paper_warmup changes one thing. ToyScenes, 64 px.
# Rows of the CSV without a variant here had options that lost (mode seeking, R1, spectral norm);
# they ran at commit a289259, whose slnp_toy.py had mode seeking.
seeds = [0, 1, 2]
prepare = [
    dict(makes='data/toyscenes/images', command='python tools/make_toyscenes.py'),
    dict(
        makes='work_dirs/deeplabv3_toy/scorer.pth',
        command='python tools/train_scorer.py configs/scorers/deeplabv3_toy.py',
    ),
    dict(
        makes='work_dirs/noise_prior_toy/last_checkpoint',
        command='python tools/train.py configs/noise_prior_toy.py',
    ),
]
cfg_options = dict(
    train_cfg=dict(max_iters=400, val_interval=400), param_scheduler=dict(begin=200, end=400)
)
base = 'configs/slnp_toy.py'
ablation = 'configs/ablations/slnp_toy_'


def amm(alpha, **options):
    """AMM of another alpha, by default at the same eta / (1 - alpha)."""
    g, d = (dict(lr=eta * (1 - alpha), momentum=alpha) | options for eta in (8e-4, 4e-4))
    return dict(generator=dict(optimizer=g), discriminator=dict(optimizer=d))


def model(**options):
    """The base with an option of the model."""
    return dict(config=base, cfg_options=dict(model=options))


def optimizer(**options):
    """The base with other settings of AMM, see `amm`."""
    return dict(config=base, cfg_options=dict(optim_wrapper=amm(**options)))


paper = dict(betas=(0.9, 0.999), momentum=0.9)
amm_paper = dict(
    generator=dict(optimizer=dict(lr=1e-4, **paper)),
    discriminator=dict(optimizer=dict(lr=4e-4, **paper)),
)
warmup = dict(begin=0, end=200, start_factor=0.01, end_factor=1.0)
plain_norms = {'global_generator.modulated': False, 'refiners.0.modulated': False}
variants = dict(
    base=dict(config=base),
    alpha_0=optimizer(alpha=0.0),
    alpha_09=optimizer(alpha=0.9),
    betas_paper=optimizer(alpha=0.5, betas=(0.9, 0.999)),
    amm_paper=dict(config=base, cfg_options=dict(optim_wrapper=amm_paper)),
    amm_paper_warmup=dict(
        config=base, cfg_options=dict(optim_wrapper=amm_paper, param_scheduler=warmup)
    ),
    no_norm=model(discriminator=dict(norm='none')),
    no_ema=model(ema_config=None),
    log_loss=dict(config=f'{ablation}log-loss.py'),
    lambda_1=model(matching_weight=1),
    lambda_4=model(matching_weight=4),
    unmodulated=model(generator=plain_norms),
    no_attention=dict(config=f'{ablation}no-attention.py'),
    no_instances=dict(config=f'{ablation}no-instances.py'),
    one_stage=dict(config=f'{ablation}one-stage.py'),
)
del base, ablation, paper, amm_paper, warmup, plain_norms
