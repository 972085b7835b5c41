# NYUv2, 40 classes. Pictures are 4:3; like all sets here they are resized to
# a square (aspect not kept) in training and validation alike, as SPADE does
# for COCO-Stuff, so that both see the same statistics.
# To change the size or the folder, in a config or on the command line:
# {train,val,test}_dataloader.dataset.image_size / .data_root
dataset_type = 'SLNPNYUv2'
data_root = 'data/nyuv2'
image_size = 256
load_instances = dict(type='SLNPLoadInstances', max_instances=64, max_overlap=1)

train_pipeline = [
    dict(type='SLNPLoadImage'),
    dict(type='SLNPLoadLabel'),
    load_instances,
    dict(type='SLNPResize'),
    dict(type='SLNPFlip', prob=0.5),
    dict(type='SLNPPackInputs'),
]
val_pipeline = [
    dict(type='SLNPLoadImage'),
    dict(type='SLNPLoadLabel'),
    load_instances,
    dict(type='SLNPResize'),
    dict(type='SLNPPackInputs'),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='train',
        image_size=image_size,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='val',
        image_size=image_size,
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader
