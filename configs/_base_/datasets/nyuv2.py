# NYUv2, 40 classes. Pictures are 4:3.
_base_ = './pairs.py'
dataset_type = 'SLNPNYUv2'
data_root = 'data/nyuv2'
image_size = 256
every = dict(type=dataset_type, data_root=data_root, image_size=image_size)

train_dataloader = dict(num_workers=2, dataset=dict(every, split='train'))
val_dataloader = dict(num_workers=2, dataset=dict(every, split='val'))
test_dataloader = val_dataloader
del every
