# ADE20K SceneParsing, 150 classes.
_base_ = './pairs.py'
every = dict(type='SLNPADE20K', data_root='data/ade/ADEChallengeData2016', image_size=256)

train_dataloader = dict(dataset=dict(every, split='training'))
val_dataloader = dict(dataset=dict(every, split='validation'))
test_dataloader = val_dataloader
del every
