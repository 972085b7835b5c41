_base_ = ['../slnp_toy.py']

model = dict(noise='random')
