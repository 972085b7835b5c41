# The paper's design, slnp_camvid_plus.py, and what single changes of the
# latter bring. CamVid at 64 and 128 px; data/camvid must be there
# (docs/data.md).
seeds = [0]
prepare = [
    dict(
        makes='work_dirs/deeplabv3_camvid/scorer.pth',
        command='python tools/train_scorer.py configs/scorers/deeplabv3_camvid.py',
    ),
    dict(
        makes='work_dirs/studies/noise_prior_camvid/last_checkpoint',
        command='python tools/train.py configs/noise_prior_camvid.py '
        '--work-dir work_dirs/studies/noise_prior_camvid --cfg-options '
        'train_cfg.max_iters=400 default_hooks.checkpoint.interval=400',
    ),
]
size = dict(dataset=dict(image_size=128))
cfg_options = dict(
    train_cfg=dict(max_iters=1000, val_interval=1000),
    param_scheduler=dict(begin=500, end=1000),
    train_dataloader=dict(batch_size=4, **size),
    val_dataloader=size,
    test_dataloader=size,
    default_hooks=dict(logger=dict(interval=50), checkpoint=dict(interval=250)),
    model=dict(prior_checkpoint='work_dirs/studies/noise_prior_camvid'),
)
plus = 'configs/slnp_camvid_plus.py'


def option(**options):
    """The plus config with an option of the model."""
    return dict(config=plus, cfg_options=dict(model=options))


seek_more = dict(max_ratio=0.25)
variants = dict(
    paper=dict(config='configs/slnp_camvid.py'),
    plus=dict(config=plus),
    plus_seek_more=option(mode_seeking_loss=seek_more),
    plus_seek_more_augment=option(
        mode_seeking_loss=seek_more, augment=dict(type='SLNPDiffAugment')
    ),
    plus_no_mode_seeking=option(mode_seeking_loss=None),
    plus_no_norm=option(discriminator=dict(norm='none')),
)
del size, plus, seek_more
