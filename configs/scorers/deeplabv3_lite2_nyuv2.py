# Judge of NYUv2 at 128 px:
# python tools/train_scorer.py configs/scorers/deeplabv3_lite2_nyuv2.py
_base_ = './_base_/deeplabv3_lite2.py'

work_dir = 'work_dirs/deeplabv3_lite2_nyuv2'
scorer = dict(
    checkpoint='work_dirs/deeplabv3_lite2_nyuv2/scorer.pth',
    input_size=(256, 256),
    resize_filter='bicubic',
)
# The loss weighs a class by the power -0.25 of its share of pixels.
# fmt: off
class_weight = [
    0.64, 0.8, 0.86, 1.0, 1.01, 1.11, 1.15, 1.16, 1.13, 1.17,
    1.16, 1.28, 1.23, 1.38, 1.3, 1.38, 1.41, 1.45, 1.36, 1.56,
    1.44, 1.29, 1.6, 1.62, 1.58, 1.76, 1.81, 1.73, 1.72, 1.91,
    1.85, 1.93, 1.88, 1.96, 1.9, 2.02, 2.03, 1.12, 1.17, 0.93,
]
# fmt: on
model = dict(
    decode_head=dict(num_classes=40, loss_decode=dict(class_weight=class_weight)),
)

train_dataloader = dict(
    dataset=dict(type='mmagic.SLNPNYUv2', data_root='data/nyuv2', split='train')
)
val_dataloader = dict(dataset=dict(type='mmagic.SLNPNYUv2', data_root='data/nyuv2', split='val'))
test_dataloader = val_dataloader
