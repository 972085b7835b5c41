_base_ = ['../slnp_toy.py']

# Stage 0 only, at its own resolution.
model = dict(generator=dict(refiners=[]))
train_dataloader = dict(dataset=dict(image_size=32))
val_dataloader = dict(dataset=dict(image_size=32))
test_dataloader = val_dataloader
