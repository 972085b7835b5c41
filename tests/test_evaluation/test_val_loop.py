"""The model's own validation: best checkpoint, SWD, TensorBoard, ceiling."""

import glob
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from slnp_mm.evaluation import SLNPSegMetric
from slnp_mm.evaluation.folder import build_dataset, score_folder
from slnp_mm.evaluation.scorers.training import set_data_root, set_length, train_scorer

pytestmark = pytest.mark.usefixtures('repository')
NAMES = ('PA', 'mIoU', 'mAcc')


def gan_config(tiny, root, work_dir, size, metrics):
    """CamVid's config with narrow networks and white noise."""
    cfg = Config.fromfile('configs/slnp_camvid.py')
    tiny.shrink(cfg, root, work_dir, size)
    tiny.narrow(cfg.model)
    cfg.model.noise = 'random'
    cfg.val_evaluator.metrics = metrics
    return cfg


class Keep(Hook):
    """Keeps the figures; mmagic's loop does not return them."""

    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics


def validate(cfg):
    runner, keep = Runner.from_cfg(cfg), Keep()
    runner.register_hook(keep)
    runner.val()
    return keep.metrics


def in_mmengines_loop(cfg):
    cfg.val_cfg = dict(type='mmengine.ValLoop')
    cfg.val_evaluator.type = 'mmengine.Evaluator'


def train(cfg, work_dir):
    """Train and keep the best checkpoint by mIoU; give the runner and the last report."""
    cfg.default_hooks.checkpoint.update(save_best='mIoU', rule='greater')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert (work_dir / 'best_mIoU_iter_2.pth').is_file()
    report = json.loads((work_dir / 'val_report.json').read_text())
    assert report['figures']['mIoU'] == runner.message_hub.get_info('best_score')
    assert report['run']['iteration'] == 2
    return runner, report


def test_best_checkpoint_is_saved_by_miou_in_mmengines_loop(datasets, scorer, tmp_path, tiny):
    seg = dict(type='SLNPSegMetric', scorer=scorer(11))
    cfg = gan_config(tiny, datasets['camvid'], tmp_path, 64, [seg])
    in_mmengines_loop(cfg)
    train(cfg, tmp_path)


def test_scores_swd_and_pictures_are_in_report_and_tensorboard(datasets, scorer, tmp_path, tiny):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    swd = dict(type='SWD', fake_nums=-1, image_shape=(3, 64, 64), prefix='SWD')
    seg = dict(type='SLNPSegMetric', scorer=scorer(11))
    cfg = gan_config(tiny, datasets['camvid'], tmp_path, 64, [seg, swd])
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    runner, report = train(cfg, tmp_path)
    runner.visualizer.close()
    scalars = runner.message_hub.log_scalars
    names = ['SWD/16', 'SWD/32', 'SWD/64', 'SWD/avg']
    assert report['protocol']['others'] == names
    assert all(report['figures'][k] == scalars[f'val/{k}'].current() > 0 for k in names)
    kept = {key[4:] for key in scalars if key.startswith('val/') and 'time' not in key}
    assert set(report['figures']) == kept
    assert '| SWD/avg' in (tmp_path / 'val_report.md').read_text()

    (path,) = glob.glob(f'{tmp_path}/**/events.out*', recursive=True)
    events = EventAccumulator(path).Reload()
    (image,) = events.Images('val_samples')
    (local,) = glob.glob(f'{tmp_path}/**/val_samples_2.png', recursive=True)
    shown = cv2.imdecode(np.frombuffer(image.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(shown, cv2.imread(local))
    (miou,) = events.Scalars('mIoU')
    assert image.step == 2
    assert miou.value == pytest.approx(report['figures']['mIoU'], rel=1e-6)


def test_diversity_in_mmengines_loop_names_the_loop(datasets, scorer, tmp_path, tiny):
    metric = dict(type='SLNPDiversity', num_noises=2, scorer=scorer(11))
    cfg = gan_config(tiny, datasets['camvid'], tmp_path, 64, [metric])
    in_mmengines_loop(cfg)
    with pytest.raises(
        ValueError,
        match='SLNPDiversity saw no label with all its 2 images: it needs '
        "mmagic's MultiValLoop and Evaluator, which repeat each label.",
    ):
        Runner.from_cfg(cfg).val()


def small_scorer(root, work_dir, iters, name='deeplabv3_camvid'):
    """A scorer of CamVid, narrow where it can be, trained for a moment on ``root``."""
    cfg = Config.fromfile(f'configs/scorers/{name}.py')
    cfg.work_dir, cfg.log_level = str(work_dir), 'ERROR'
    set_data_root(cfg, str(root))
    set_length(cfg, iters)
    if cfg.model.backbone.type == 'ResNetV1c':
        cfg.model.backbone.update(stem_channels=8, base_channels=8)
        stages = cfg.model.backbone.num_stages
        cfg.model.decode_head.update(in_channels=4 * 2**stages, channels=8)
        if 'c1_in_channels' in cfg.model.decode_head:
            cfg.model.decode_head.c1_in_channels = 8
    if isinstance(cfg.param_scheduler, list):  # no warm-up
        cfg.param_scheduler[0].end, cfg.param_scheduler[1].begin = 1, 0
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].update(batch_size=2, num_workers=0, persistent_workers=False)
    path = f'{work_dir}/small.py'
    os.makedirs(work_dir, exist_ok=True)
    cfg.dump(path)
    return cfg, dict(config=path, checkpoint=f'{work_dir}/scorer.pth')


def test_trained_scorer_records_how_it_was_made(datasets, tmp_path):
    from slnp_mm.evaluation.scorers import DeepLabV3Scorer, file_sha256

    cfg, scorer = small_scorer(datasets['camvid'], tmp_path / 's', 2)
    record = train_scorer(cfg)
    assert record['data'] == dict(
        dataset='SLNPCamVid', root='camvid', train='train', train_images=2, val='val', val_images=2
    )
    assert record['iterations'] == 2 and record['seed'] == 0
    assert record['input_size'] == [128, 128]
    assert set(record['ceiling']) == set(NAMES)
    assert record['sha256'] == file_sha256(scorer['checkpoint'])
    assert DeepLabV3Scorer(**scorer).describe()['training'] == record


def write_pictures(dataset, folder):
    """The pictures of the data set's pipeline, as PNG."""
    os.makedirs(folder)
    for i in range(len(dataset)):
        stem = Path(dataset.get_data_info(i)['img_path']).stem
        image = dataset[i]['inputs']['img'].permute(1, 2, 0).numpy()
        assert cv2.imwrite(f'{folder}/{stem}.png', image)


@pytest.mark.parametrize(
    'name, iters',
    [('deeplabv3_camvid', 2), ('deeplabv3_lite2_camvid', 25), ('deeplabv3_r18_camvid', 2)],
)
def test_ceiling_is_one_by_mmsegs_runner_the_loop_and_a_folder(
    name, iters, datasets, tmp_path, tiny
):
    """Two enlarge the images; one has ImageNet weights, one trains on full-size photographs."""
    root = datasets['camvid']
    cfg, scorer = small_scorer(root, tmp_path / 'scorer', iters, name)
    record = train_scorer(cfg)
    cfg.load_from, cfg.work_dir = scorer['checkpoint'], str(tmp_path / 'test')
    with DefaultScope.overwrite_default_scope('mmseg'):
        tested = Runner.from_cfg(cfg).test()
    want = {k: tested[j] for k, j in zip(NAMES, ('aAcc', *NAMES[1:]))}
    assert record['ceiling'] == pytest.approx(want, abs=1e-5)

    seg = dict(type='SLNPSegMetric', scorer=scorer)
    gan = gan_config(tiny, root, tmp_path / 'gan', 128, [seg])
    gan.test_dataloader = gan.val_dataloader
    in_loop = validate(gan)
    dataset = build_dataset(gan)
    write_pictures(dataset, tmp_path / 'made')
    metric = SLNPSegMetric(scorer=scorer)
    folder = score_folder(dataset, [metric], str(tmp_path / 'made'))
    for name in NAMES:
        ceiling = record['ceiling'][name]
        assert in_loop[f'real/{name}'] == folder[f'real/{name}'] == folder[name] == ceiling
    assert folder['share/PA'] == 100.0 and metric.last_report['num_images'] == 2
    assert len(set(record['ceiling'].values())) == 3, 'a trivial scorer'
