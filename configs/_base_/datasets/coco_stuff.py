# COCO-Stuff 164k, 182 raw classes.
_base_ = './pairs.py'
every = dict(type='SLNPCOCOStuff', data_root='data/coco_stuff164k', image_size=256)

train_dataloader = dict(dataset=dict(every, split='train2017'))
val_dataloader = dict(dataset=dict(every, split='val2017'))
test_dataloader = val_dataloader
del every
