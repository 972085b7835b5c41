# Judge of CamVid at 128 px:
# python tools/train_scorer.py configs/scorers/deeplabv3_lite2_camvid.py
_base_ = './_base_/deeplabv3_lite2.py'

work_dir = 'work_dirs/deeplabv3_lite2_camvid'
scorer = dict(
    checkpoint='work_dirs/deeplabv3_lite2_camvid/scorer.pth',
    input_size=(256, 256),
    resize_filter='bicubic',
)
# The loss weighs a class by the power -0.35 of its share of pixels, or poles are never found.
class_weight = [0.94, 0.84, 2.54, 0.75, 1.49, 1.14, 2.39, 2.42, 1.36, 2.95, 3.89]
model = dict(
    decode_head=dict(num_classes=11, loss_decode=dict(class_weight=class_weight)),
)

train_dataloader = dict(
    dataset=dict(type='mmagic.SLNPCamVid', data_root='data/camvid', split='train')
)
val_dataloader = dict(dataset=dict(type='mmagic.SLNPCamVid', data_root='data/camvid', split='val'))
test_dataloader = val_dataloader
