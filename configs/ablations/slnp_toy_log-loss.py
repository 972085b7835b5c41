_base_ = ['../slnp_toy.py']

model = dict(gan_loss=dict(gan_type='log', saturating=False))
