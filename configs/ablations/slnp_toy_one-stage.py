_base_ = ['../slnp_toy.py']

# Stage 0 alone, at its own size.
model = dict(generator=dict(refiners=[]))
train_dataloader = dict(dataset=dict(image_size=32))
val_dataloader = dict(dataset=dict(image_size=32))
test_dataloader = val_dataloader
