# Fig. 11's comparison on ToyScenes: random noise against the noise prior in
# both arrangements, 3 seeds.
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
    dict(
        makes='work_dirs/noise_prior_toy_fig4/last_checkpoint',
        command='python tools/train.py configs/ablations/noise_prior_toy_fig4.py',
    ),
]
cfg_options = dict(
    train_cfg=dict(max_iters=400, val_interval=400), param_scheduler=dict(begin=200, end=400)
)
ablation = 'configs/ablations/slnp_toy_'
variants = dict(
    vae=dict(config='configs/slnp_toy.py'),
    fig4=dict(config=f'{ablation}fig4-prior.py'),
    random=dict(config=f'{ablation}random-noise.py'),
)
del ablation
