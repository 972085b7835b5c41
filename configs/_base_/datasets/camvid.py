# CamVid, 11 classes. Images are 4:3.
_base_ = './pairs.py'
every = dict(type='SLNPCamVid', data_root='data/camvid', image_size=256)

train_dataloader = dict(num_workers=2, dataset=dict(every, split='train'))
val_dataloader = dict(num_workers=2, dataset=dict(every, split='val'))
test_dataloader = val_dataloader
del every
