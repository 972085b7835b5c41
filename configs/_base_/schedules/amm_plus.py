# The paper's betas and alpha saturate the images (docs/optimizer.md).
_base_ = ['./amm.py']

amm = dict(betas=(0.0, 0.99), momentum=0.5)
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=4e-4, **amm)),
    discriminator=dict(optimizer=dict(lr=2e-4, **amm)),
)
del amm
