# Scorer for ToyScenes at 128 px: python tools/train_scorer.py configs/scorers/deeplabv3_toy.py
_base_ = './_base_/deeplabv3_small.py'

model = dict(decode_head=dict(num_classes=10))

every = dict(type='mmagic.SLNPToyScenes', data_root='data/toyscenes')
train_dataloader = dict(dataset=dict(every, split='train2017'))
val_dataloader = dict(dataset=dict(every, split='val2017'))
test_dataloader = val_dataloader
del every

train_cfg = dict(max_iters=500, val_interval=500)
param_scheduler = dict(total_steps=500)
