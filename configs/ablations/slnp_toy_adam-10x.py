_base_ = ['../slnp_toy.py']

# A fair control, as AMM's steps in a constant direction are 1 / (1 - alpha) = 10 times eta.
optim_wrapper = dict(
    generator=dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3, betas=(0.9, 0.999))),
    discriminator=dict(optimizer=dict(_delete_=True, type='Adam', lr=4e-3, betas=(0.9, 0.999))),
)
