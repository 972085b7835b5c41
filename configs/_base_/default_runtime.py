default_scope = 'mmagic'
custom_imports = dict(imports=['slnp_mm'], allow_failed_imports=False)

randomness = dict(seed=0, diff_rank_seed=True)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
model_wrapper_cfg = dict(
    type='MMSeparateDistributedDataParallel', broadcast_buffers=False, find_unused_parameters=False
)

default_hooks = dict(
    logger=dict(type='LoggerHook', interval=100, log_metric_by_epoch=False),
    checkpoint=dict(
        type='SLNPCheckpointHook',
        interval=10000,
        by_epoch=False,
        max_keep_ckpts=3,
        save_best='mIoU',
    ),
)
custom_hooks = [
    dict(type='SLNPPreflightHook'),
    dict(type='SLNPVisualizationHook', num_images=8, train_interval=1000),
    dict(type='SLNPReportHook'),
    dict(type='SLNPPriorHook'),
    dict(type='SLNPWatchHook'),
]
log_processor = dict(type='SLNPLogProcessor', window_size=100, by_epoch=False)
log_level = 'INFO'

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)

load_from = None
resume = False
