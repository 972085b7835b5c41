_base_ = ['../slnp_toy.py']

model = dict(
    generator=dict(noise_shape=(16, 32, 32)),
    noise_prior=dict(arrangement='fig4', image_size=16, num_scales=1),
    prior_checkpoint='work_dirs/noise_prior_toy_fig4',
)
