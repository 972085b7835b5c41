# Nuclei, 2 classes and instance maps. One image in five has over 63 nuclei, 5 of 664 have over 255.
_base_ = './pairs.py'
load = [
    dict(type='SLNPLoadImage'),
    dict(type='SLNPLoadLabel'),
    dict(type='SLNPLoadInstances', max_instances=256),
    dict(type='SLNPResize'),
]
train_pipeline = [*load, dict(type='SLNPFlip', prob=0.5), dict(type='SLNPPackInputs')]
val_pipeline = [*load, dict(type='SLNPPackInputs')]
every = dict(type='SLNPNuclei', data_root='data/nuclei', image_size=256)

train_dataloader = dict(num_workers=2, dataset=dict(every, split='train', pipeline=train_pipeline))
val_dataloader = dict(num_workers=2, dataset=dict(every, split='val', pipeline=val_pipeline))
test_dataloader = val_dataloader
del load, every
