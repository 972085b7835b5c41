# What each part of slnp_camvid_plus.py brings. CamVid at 64 and 128 px; data/camvid must be there
# (docs/data.md).
seeds = [0, 1, 2]
prepare = [
    dict(
        makes='work_dirs/deeplabv3_lite2_camvid/scorer.pth',
        command='python tools/train_scorer.py configs/scorers/deeplabv3_lite2_camvid.py',
    ),
    dict(
        makes='work_dirs/studies/noise_prior_camvid_plus/last_checkpoint',
        command='python tools/train.py configs/noise_prior_camvid_plus.py '
        '--work-dir work_dirs/studies/noise_prior_camvid_plus --cfg-options '
        'train_cfg.max_iters=300 default_hooks.checkpoint.interval=300',
    ),
    dict(
        makes='work_dirs/studies/noise_prior_camvid_4x4/last_checkpoint',
        command='python tools/train.py configs/noise_prior_camvid_plus.py '
        '--work-dir work_dirs/studies/noise_prior_camvid_4x4 --cfg-options '
        'model.num_scales=4 train_cfg.max_iters=300 default_hooks.checkpoint.interval=300',
    ),
]
bfloat16 = dict(type='SLNPBF16OptimWrapper')  # as --amp has it
size = dict(dataset=dict(image_size=128))
cfg_options = dict(
    train_cfg=dict(max_iters=1000, val_interval=1000),
    param_scheduler=dict(begin=500, end=1000),
    train_dataloader=size,
    val_dataloader=size,
    test_dataloader=size,
    default_hooks=dict(logger=dict(interval=50), checkpoint=dict(interval=250)),
    optim_wrapper=dict(generator=bfloat16, discriminator=bfloat16),
    model=dict(prior_checkpoint='work_dirs/studies/noise_prior_camvid_plus'),
)
plus = 'configs/slnp_camvid_plus.py'


def option(**options):
    """The plus config with an option of the model."""
    return dict(config=plus, cfg_options=dict(model=options))


trained = dict(type='SLNPDiscriminator', base_channels=32, max_channels=256, _delete_=True)
variants = dict(
    plus=dict(config=plus),
    eyes_1x=option(discriminator=dict(upsample_factor=1.0)),
    eyes_2x=option(discriminator=dict(upsample_factor=2.0)),
    share_75=option(code_share=0.75),
    codes_4x4=option(
        generator=dict(noise_shape=[16, 4, 4]),
        noise_prior=dict(num_scales=4),
        prior_checkpoint='work_dirs/studies/noise_prior_camvid_4x4',
    ),
    rates=dict(
        config=plus,
        cfg_options=dict(
            optim_wrapper=dict(
                generator=dict(optimizer=dict(lr=8e-4)), discriminator=dict(optimizer=dict(lr=4e-4))
            )
        ),
    ),
    # each part alone
    no_codes=option(code_share=0.0),
    random_noise=option(noise='random', code_share=0.0),
    no_eyes=option(discriminator=trained),
    no_matching=option(matching_weight=0),
)
del plus, size, trained, bfloat16
