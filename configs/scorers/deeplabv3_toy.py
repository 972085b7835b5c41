# Judge of ToyScenes at 128 px: python tools/train_scorer.py configs/scorers/deeplabv3_toy.py
_base_ = './_base_/deeplabv3_small.py'

work_dir = 'work_dirs/deeplabv3_toy'
scorer = dict(
    checkpoint='work_dirs/deeplabv3_toy/scorer.pth', input_size=(128, 128), resize_filter='area'
)
model = dict(decode_head=dict(num_classes=10))

train_dataloader = dict(
    dataset=dict(type='mmagic.SLNPToyScenes', data_root='data/toyscenes', split='train2017')
)
val_dataloader = dict(
    dataset=dict(type='mmagic.SLNPToyScenes', data_root='data/toyscenes', split='val2017')
)
test_dataloader = val_dataloader

train_cfg = dict(type='IterBasedTrainLoop', max_iters=500, val_interval=500)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-3, weight_decay=1e-2),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = dict(
    type='OneCycleLR', eta_max=4e-3, total_steps=500, pct_start=0.2, by_epoch=False
)
