# ToyScenes: drawn by tools/make_toyscenes.py, 128 px, 10 classes.
_base_ = './pairs.py'
every = dict(type='SLNPToyScenes', data_root='data/toyscenes', image_size=128)

train_dataloader = dict(num_workers=2, dataset=dict(every, split='train2017'))
val_dataloader = dict(num_workers=2, dataset=dict(every, split='val2017'))
test_dataloader = val_dataloader
del every
