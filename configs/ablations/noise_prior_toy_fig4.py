_base_ = ['../noise_prior_toy.py']

# Latent (16, 32, 32): the resolution of stage 0, with more dimensions than the image.
model = dict(arrangement='fig4', image_size=16, num_scales=1)
train_dataloader = dict(dataset=dict(image_size=16))
val_dataloader = dict(dataset=dict(image_size=16))
test_dataloader = val_dataloader
