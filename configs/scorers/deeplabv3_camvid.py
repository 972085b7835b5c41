# Judge of CamVid at 128 px:
# python tools/train_scorer.py configs/scorers/deeplabv3_camvid.py
_base_ = './_base_/deeplabv3_small.py'

work_dir = 'work_dirs/deeplabv3_camvid'
scorer = dict(
    checkpoint='work_dirs/deeplabv3_camvid/scorer.pth',
    input_size=(128, 128),
    resize_filter='area')
model = dict(
    backbone=dict(stem_channels=48, base_channels=48),
    decode_head=dict(in_channels=192, channels=96, num_classes=11))

data_root = 'data/camvid'
metainfo = dict(
    classes=('sky', 'building', 'pole', 'road', 'pavement', 'tree',
             'sign', 'fence', 'car', 'pedestrian', 'bicyclist'),
    palette=[[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128],
             [60, 40, 222], [128, 128, 0], [192, 128, 128], [64, 64, 128],
             [64, 0, 128], [64, 64, 0], [0, 128, 192]])
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        data_prefix=dict(
            img_path='images/train', seg_map_path='annotations/train')))
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        data_prefix=dict(
            img_path='images/val', seg_map_path='annotations/val')))
test_dataloader = val_dataloader

train_cfg = dict(type='IterBasedTrainLoop', max_iters=2000, val_interval=500)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-3, weight_decay=1e-2),
    clip_grad=dict(max_norm=5.0))
param_scheduler = dict(
    type='OneCycleLR',
    eta_max=4e-3,
    total_steps=2000,
    pct_start=0.2,
    by_epoch=False)
