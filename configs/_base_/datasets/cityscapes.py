# Cityscapes, 19 classes, resized to 256x512 (its own 1:2 shape).
_base_ = './pairs.py'
every = dict(type='SLNPCityscapes', data_root='data/cityscapes', image_size=(256, 512))

train_dataloader = dict(batch_size=4, dataset=dict(every, split='train'))
val_dataloader = dict(batch_size=4, dataset=dict(every, split='val'))
test_dataloader = val_dataloader
del every
