# The paper's design on CamVid at 64 and 128 px; data/camvid must be there (docs/data.md). The
# other rows of the CSV are slnp_camvid_plus.py as it was at commit a289259; see plus_camvid.py.
seeds = [0]
prepare = [
    dict(
        makes='work_dirs/deeplabv3_lite2_camvid/scorer.pth',
        command='python tools/train_scorer.py configs/scorers/deeplabv3_lite2_camvid.py',
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
variants = dict(paper=dict(config='configs/slnp_camvid.py'))
del size
