# mmseg's published DeepLabV3 R-101 for COCO-Stuff 164k. The URL and hash of its weights come from
# mmseg's metafile; they are downloaded on first use, unless the checkpoint is a local file.
_base_ = 'mmseg::deeplabv3/deeplabv3_r101-d8_4xb4-80k_coco-stuff164k-512x512.py'  # noqa: E501

model = dict(_scope_='mmseg')
scorer = dict(
    published=dict(
        metafile='deeplabv3/metafile.yaml',
        model='deeplabv3_r101-d8_4xb4-80k_coco-stuff164k-512x512',
    ),
    input_size=(512, 512),
    resize_filter='bilinear',
)
