# Scorer for NYUv2 at 128 px:
# python tools/train_scorer.py configs/scorers/deeplabv3_lite2_nyuv2.py
_base_ = './_base_/deeplabv3_lite2.py'

model = dict(decode_head=dict(num_classes=40))

every = dict(type='mmagic.SLNPNYUv2', data_root='data/nyuv2')
train_dataloader = dict(dataset=dict(every, split='train'))
val_dataloader = dict(dataset=dict(every, split='val'))
test_dataloader = val_dataloader
del every
