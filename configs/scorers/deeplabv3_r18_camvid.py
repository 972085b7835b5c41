# Scorer for CamVid from random weights (docs/scores.md):
# python tools/train_scorer.py configs/scorers/deeplabv3_r18_camvid.py
_base_ = './_base_/deeplabv3_r18.py'

work_dir = 'work_dirs/deeplabv3_r18_camvid'
scorer = dict(checkpoint='work_dirs/deeplabv3_r18_camvid/scorer.pth', input_size=(256, 341))
model = dict(
    decode_head=dict(
        num_classes=11,
        # One over the fourth root of each class's share of the pixels. Not 'mean': mmseg's looks up
        # the weight of 255.
        loss_decode=dict(
            reduction='none', class_weight=[0.7, 0.6, 1.4, 0.6, 1.0, 0.8, 1.4, 1.4, 0.9, 1.6, 1.9]
        ),
    )
)

# half of the photographs lose the detail that scored images lack
through_128 = [
    dict(type='mmengine.Resize', scale=(128, 128), interpolation='area'),
    dict(type='mmengine.Resize', scale=(341, 256), interpolation='bicubic'),
]
train_pipeline = [
    dict(type='mmagic.SLNPLoadImage'),
    dict(type='mmagic.SLNPLoadLabel'),
    dict(type='mmagic.SLNPToSeg'),
    dict(type='mmengine.RandomChoice', transforms=[[], through_128]),
    dict(
        type='mmengine.RandomResize',
        scale=(341, 256),
        ratio_range=(0.75, 2.0),
        keep_ratio=True,
        resize_type='mmengine.Resize',
    ),
    *_base_.crop,
]
test_pipeline = [
    *_base_.load[:3],
    dict(type='mmengine.Resize', scale=(341, 256), keep_ratio=False, interpolation='bicubic'),
    dict(type='mmagic.SLNPToSeg'),
    dict(type='mmseg.PackSegInputs'),
]
every = dict(type='mmagic.SLNPCamVid', data_root='data/camvid')
# decoded at full size
train_dataloader = dict(
    dataset=dict(every, split='train', image_size=(256, 341), pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(every, split='val', pipeline=test_pipeline))
test_dataloader = val_dataloader
del every
