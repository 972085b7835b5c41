# Scorer for CamVid at 128 px: python tools/train_scorer.py configs/scorers/deeplabv3_camvid.py
_base_ = './_base_/deeplabv3_small.py'

model = dict(
    backbone=dict(stem_channels=48, base_channels=48),
    decode_head=dict(in_channels=192, channels=96, num_classes=11),
)

every = dict(type='mmagic.SLNPCamVid', data_root='data/camvid')
train_dataloader = dict(dataset=dict(every, split='train'))
val_dataloader = dict(dataset=dict(every, split='val'))
test_dataloader = val_dataloader
del every
