_base_ = ['./slnp_camvid_64px.py']

optim_wrapper = dict(
    generator=dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-4, betas=(0.9, 0.999))),
    discriminator=dict(optimizer=dict(_delete_=True, type='Adam', lr=4e-4, betas=(0.9, 0.999))),
)
