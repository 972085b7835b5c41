# Shared by all data sets: read, resize to a square (aspect not kept, in training and validation, so
# that both have the same statistics), flip, pack. Each set adds its type, folder, splits and size.
# To change size or folder in a config or on the command line:
# {train,val,test}_dataloader.dataset.image_size / .data_root
load_instances = dict(type='SLNPLoadInstances', max_instances=64, max_overlap=1)
load = [
    dict(type='SLNPLoadImage'),
    dict(type='SLNPLoadLabel'),
    load_instances,
    dict(type='SLNPResize'),
]
train_pipeline = [*load, dict(type='SLNPFlip', prob=0.5), dict(type='SLNPPackInputs')]
val_pipeline = [*load, dict(type='SLNPPackInputs')]
del load

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    worker_init_fn=dict(type='slnp_worker'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=dict(type='SLNPBatchSampler'),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    worker_init_fn=dict(type='slnp_worker'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_mode=True, pipeline=val_pipeline),
)
test_dataloader = val_dataloader
