_base_ = ['../slnp_toy.py']

model = dict(generator=dict(attention=False))
