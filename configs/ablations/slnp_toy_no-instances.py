_base_ = ['../slnp_toy.py']

model = dict(generator=dict(instance_pathway=False))
