# mmseg's published DeepLabV3 R-101 for ADE20K. URL and hash of the weights are read from mmseg's
# own metafile and downloaded on first use; or name a local file as the checkpoint.
_base_ = 'mmseg::deeplabv3/deeplabv3_r101-d8_4xb4-160k_ade20k-512x512.py'

model = dict(_scope_='mmseg')
scorer = dict(
    published=dict(
        metafile='deeplabv3/metafile.yaml', model='deeplabv3_r101-d8_4xb4-160k_ade20k-512x512'
    ),
    input_size=(512, 512),
    resize_filter='bilinear',
)
