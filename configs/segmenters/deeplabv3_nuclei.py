# A segmentor that learns from real and generated images (docs/augment.md):
# python tools/train_scorer.py configs/segmenters/deeplabv3_nuclei.py
_base_ = '../scorers/deeplabv3_nuclei.py'

work_dir = 'work_dirs/segmenter_nuclei'
scorer = dict(checkpoint='work_dirs/segmenter_nuclei/scorer.pth')

pipeline = {{_base_.train_pipeline}}
every = dict(type='mmagic.SLNPNuclei', image_size=(128, 128), pipeline=pipeline)
real = dict(every, data_root='data/nuclei', indices=None)  # a number N: the first N images
# of tools/generate.py --for-training
generated = dict(
    every,
    data_root='work_dirs/augment_nuclei',
    data_prefix=dict(img='img_dir', label='ann_dir', instance=None),
)
# with four generated images for each real one, half of the images are real
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[dict(type='RepeatDataset', dataset=real, times=4), generated],
    )
)
del every, real, generated, pipeline
