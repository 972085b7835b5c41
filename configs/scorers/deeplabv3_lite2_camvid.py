# Scorer for CamVid at 128 px:
# python tools/train_scorer.py configs/scorers/deeplabv3_lite2_camvid.py
_base_ = './_base_/deeplabv3_lite2.py'

model = dict(decode_head=dict(num_classes=11))

every = dict(type='mmagic.SLNPCamVid', data_root='data/camvid')
train_dataloader = dict(dataset=dict(every, split='train'))
val_dataloader = dict(dataset=dict(every, split='val'))
test_dataloader = val_dataloader
del every
