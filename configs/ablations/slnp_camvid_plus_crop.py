# slnp_camvid_plus.py on random windows of 128 px from photographs of 144 px.
_base_ = '../slnp_camvid_plus.py'

pipeline = _base_.train_pipeline
pipeline.insert(4, dict(type='SLNPCrop', size=128))
train_dataloader = dict(dataset=dict(image_size=144, pipeline=pipeline))
del pipeline
