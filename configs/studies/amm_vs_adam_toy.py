# Fig. 13's comparison on ToyScenes, 64 px: AMM at the paper's rates, Adam at the same ones, Adam at
# AMM's steady step, 1 / (1 - alpha) = 10 times, and AMM with one momentum in place of two. Losses
# and rates are the paper's, not those the toy config was tuned to.
seeds = [0, 1, 2]
prepare = [
    dict(makes='data/toyscenes/images', command='python tools/make_toyscenes.py'),
    dict(
        makes='work_dirs/noise_prior_toy/last_checkpoint',
        command='python tools/train.py configs/noise_prior_toy.py',
    ),
]
cfg_options = dict(
    train_cfg=dict(max_iters=300),
    param_scheduler=None,
    val_cfg=None,
    val_dataloader=None,
    val_evaluator=None,
    train_dataloader=dict(dataset=dict(image_size=64)),
    default_hooks=dict(logger=dict(interval=5), checkpoint=dict(interval=100)),
    log_processor=dict(window_size=5),
    model=dict(gan_loss=dict(gan_type='log', saturating=True)),
)


def amm(**options):
    """The toy config under AMM with the paper's rates."""
    g, d = (dict(lr=lr, momentum=0.9, **options) for lr in (1e-4, 4e-4))
    return dict(
        config='configs/slnp_toy.py',
        cfg_options=dict(
            optim_wrapper=dict(generator=dict(optimizer=g), discriminator=dict(optimizer=d))
        ),
    )


variants = dict(
    AMM=amm(betas=(0.9, 0.999)),
    Adam=dict(config='configs/ablations/slnp_toy_adam.py'),
    Adam_10x=dict(config='configs/ablations/slnp_toy_adam-10x.py'),
    AMM_one=amm(betas=(0.0, 0.999)),
)
curves = dict(loss_gan_d_real='D_real', loss_gan_d_fake='D_fake', loss_gan_g='G')
plateau = dict(window=11, tolerance=0.1, tail=0.25)
