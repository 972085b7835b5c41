# Fig. 14's comparison on CamVid, 64 px; see amm_vs_adam_toy.py.
# data/camvid must be there (docs/data.md).
seeds = [0, 1, 2]
prepare = [
    dict(
        makes='work_dirs/studies/noise_prior_camvid/last_checkpoint',
        command='python tools/train.py configs/noise_prior_camvid.py '
        '--work-dir work_dirs/studies/noise_prior_camvid --cfg-options '
        'train_cfg.max_iters=400 default_hooks.checkpoint.interval=400',
    )
]
cfg_options = dict(
    train_cfg=dict(max_iters=120),
    train_dataloader=dict(batch_size=4),
    param_scheduler=None,
    val_cfg=None,
    val_dataloader=None,
    val_evaluator=None,
    default_hooks=dict(logger=dict(interval=5), checkpoint=dict(interval=100)),
    log_processor=dict(window_size=5),
    model=dict(prior_checkpoint='work_dirs/studies/noise_prior_camvid'),
)
variants = dict(
    AMM=dict(config='configs/ablations/slnp_camvid_64px.py'),
    Adam=dict(config='configs/ablations/slnp_camvid_64px-adam.py'),
    Adam_10x=dict(config='configs/ablations/slnp_camvid_64px-adam-10x.py'),
)
curves = dict(loss_gan_d_real='D_real', loss_gan_d_fake='D_fake', loss_gan_g='G')
plateau = dict(window=11, tolerance=0.1, tail=0.25)
