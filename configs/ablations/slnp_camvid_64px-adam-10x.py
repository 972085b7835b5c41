_base_ = ['./slnp_camvid_64px-adam.py']

# AMM's steady step is 1 / (1 - alpha) = 10 times its eta: the fair control.
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=1e-3)), discriminator=dict(optimizer=dict(lr=4e-3))
)
