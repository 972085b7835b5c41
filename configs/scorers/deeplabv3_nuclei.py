# Scorer for nuclei at 128 px: python tools/train_scorer.py configs/scorers/deeplabv3_nuclei.py
_base_ = './_base_/deeplabv3_small.py'

model = dict(decode_head=dict(num_classes=2))

every = dict(type='mmagic.SLNPNuclei', data_root='data/nuclei')
train_dataloader = dict(dataset=dict(every, split='train'))
val_dataloader = dict(dataset=dict(every, split='val'))
test_dataloader = val_dataloader
del every

train_cfg = dict(max_iters=500, val_interval=500)
param_scheduler = dict(total_steps=500)
