_base_ = ['../slnp_camvid.py']

# 32 and 64 px, small enough for two CPU cores; losses and rates the paper's.
model = dict(
    generator=dict(
        global_generator=dict(base_channels=32, max_channels=256, num_blocks=2, modulated=True),
        refiners=[
            dict(
                type='SLNPLocalRefiner',
                base_channels=16,
                attention_channels=64,
                num_blocks=2,
                modulated=True,
            )
        ],
    ),
    discriminator=dict(base_channels=32, max_channels=256),
    gan_loss=dict(gan_type='log', saturating=True),
)
paper = dict(betas=(0.9, 0.999), momentum=0.9)
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=1e-4, **paper)),
    discriminator=dict(optimizer=dict(lr=4e-4, **paper)),
)
del paper
train_dataloader = dict(dataset=dict(image_size=64))
val_dataloader = dict(dataset=dict(image_size=64))
test_dataloader = val_dataloader
