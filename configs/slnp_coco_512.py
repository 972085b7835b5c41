_base_ = ['./slnp_coco.py']

# A third stage on top of the trained 256 px model. Its checkpoint provides the lower stages, their
# averages and the noise prior; all stages are trained.
model = dict(
    generator=dict(
        refiners=[
            dict(type='SLNPLocalRefiner', base_channels=48, num_blocks=4),
            dict(type='SLNPLocalRefiner', base_channels=24, num_blocks=4),
        ]
    )
)
load_from = 'work_dirs/slnp_coco/iter_200000.pth'

train_dataloader = dict(batch_size=4, dataset=dict(image_size=512))
val_dataloader = dict(batch_size=4, dataset=dict(image_size=512))
test_dataloader = val_dataloader
