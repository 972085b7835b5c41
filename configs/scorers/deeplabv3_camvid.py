# Judge of CamVid at 128 px: python tools/train_scorer.py configs/scorers/deeplabv3_camvid.py
_base_ = './_base_/deeplabv3_small.py'

work_dir = 'work_dirs/deeplabv3_camvid'
scorer = dict(
    checkpoint='work_dirs/deeplabv3_camvid/scorer.pth', input_size=(128, 128), resize_filter='area'
)
model = dict(
    backbone=dict(stem_channels=48, base_channels=48),
    decode_head=dict(in_channels=192, channels=96, num_classes=11),
)

train_dataloader = dict(
    dataset=dict(type='mmagic.SLNPCamVid', data_root='data/camvid', split='train')
)
val_dataloader = dict(dataset=dict(type='mmagic.SLNPCamVid', data_root='data/camvid', split='val'))
test_dataloader = val_dataloader

train_cfg = dict(type='IterBasedTrainLoop', max_iters=1200, val_interval=1200)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-3, weight_decay=1e-2),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = dict(
    type='OneCycleLR', eta_max=4e-3, total_steps=1200, pct_start=0.2, by_epoch=False
)
