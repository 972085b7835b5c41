"""The config of docs/data.md works as it stands."""

import re
import shutil

import torch
from mmagic.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate


def test_own_data_config_gives_batches_that_its_model_takes(folder_pair, tmp_path, request):
    root = request.config.rootpath
    text = (root / 'docs/data.md').read_text()
    config = re.search(r'```python\n(_base_.*?)```', text, re.S).group(1)
    config = config.replace("'slnp_", f"'{root}/configs/slnp_")
    (tmp_path / 'slnp_mine.py').write_text(config)
    cfg = Config.fromfile(str(tmp_path / 'slnp_mine.py'))
    for folder in ('images', 'labels'):
        for split in ('train', 'val'):
            target = tmp_path / f'mine/{folder}/{split}'
            shutil.copytree(folder_pair / folder, target)
    for split in ('train', 'val', 'test'):
        settings = cfg[f'{split}_dataloader'].dataset
        settings.data_root = str(tmp_path / 'mine')
        dataset = DATASETS.build(settings)
        folder = 'train' if split == 'train' else 'val'
        assert f'images/{folder}/0.jpg' in dataset[0]['data_samples'].img_path
    assert len(dataset.metainfo['classes']) == 3
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert model.noise_prior is None
    assert model.discriminator.stages[0].num_classes == 3
    assert model.generator.num_classes == 3
    batch = pseudo_collate([dataset[0], dataset[1]])
    preprocessor = dict(cfg.model.data_preprocessor, num_classes=cfg.model.num_classes)
    inputs = MODELS.build(preprocessor)(batch)['inputs']
    assert inputs['label'].unique().tolist() == [0, 1, 2, 255]
