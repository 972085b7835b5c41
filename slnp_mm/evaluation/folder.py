"""Score a folder of images made by any program."""

import copy
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from mmengine.utils import track_iter_progress

from slnp_mm.datasets.wrappers import part_configs, parts
from slnp_mm.errors import SLNPError

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff')


def list_images(folder: str) -> dict[str, str]:
    """Images of a folder and below, by stem.

    Args:
        folder (str): Folder.

    Returns:
        Dict[str, str]: File name without ending to path.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no image, or two of one stem.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'Image folder {folder} does not exist.')
    found: dict[str, str] = {}
    for path in sorted(Path(folder).rglob('*')):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if path.stem in found:
            raise ValueError(
                f'Expected one image named {path.stem}, got {found[path.stem]} and {path}.'
            )
        found[path.stem] = str(path)
    if not found:
        raise ValueError(f'Expected images ({", ".join(IMAGE_SUFFIXES)}) in {folder}, got none.')
    return found


def pair(images: dict[str, str], wanted: list[str], folder: str) -> list[str]:
    """Image of each wanted stem, in that order; nothing is dropped.

    Args:
        images (Dict[str, str]): Of :func:`list_images`.
        wanted (List[str]): Stems of the data set's images.
        folder (str): For the error text.

    Returns:
        List[str]: Paths.

    Raises:
        ValueError: If an image is missing or there is one too many; all are
            named.
    """
    missing = sorted(set(wanted) - set(images))
    extra = sorted(set(images) - set(wanted))
    if missing or extra:
        parts = [
            f'{len(names)} {word}: {", ".join(names)}'
            for word, names in (('missing', missing), ('extra', extra))
            if names
        ]
        raise ValueError(
            f'Expected in {folder} exactly one image for each of the '
            f'{len(wanted)} labels, by name; {"; ".join(parts)}.'
        )
    return [images[stem] for stem in wanted]


def build_dataset(cfg: Config, labels: str | None = None, reals: str | None = None) -> Any:
    """The test data set of a config, optionally with other folders.

    Args:
        cfg (Config): Config of a generator.
        labels (str, optional): Label folder in place of the config's.
        reals (str, optional): Folder of real images in place of the
            config's.

    Returns:
        SLNPDataset: Built in mmagic's scope; that inside a RepeatDataset.

    Raises:
        SLNPError: If the config joins several sets.
    """
    from mmagic.registry import DATASETS

    dataset, *more = part_configs(copy.deepcopy(cfg.test_dataloader.dataset))
    if more:
        raise SLNPError(
            f'test_dataloader joins {len(more) + 1} data sets, but the pictures of a folder '
            'belong to one: name one in the config'
        )
    if labels or reals:
        prefix = dict(dataset.get('data_prefix') or {})
        if labels:
            prefix['label'] = os.path.abspath(labels)
        if reals:
            prefix['img'] = os.path.abspath(reals)
        dataset.data_prefix = prefix
    with DefaultScope.overwrite_default_scope('mmagic'):
        return DATASETS.build(dataset)


def build_metrics(cfg: Config) -> list[Any]:
    """This package's metrics of the config's test evaluator.

    Those that cannot score a folder with one image a label are left out
    with a warning that names them.

    Raises:
        ValueError: If there is none.
    """
    from mmagic.registry import METRICS

    from .metrics.base import PairedMetric

    evaluator = cfg.get('test_evaluator') or {}
    entries = evaluator.get('metrics', evaluator) if isinstance(evaluator, dict) else evaluator
    entries = [entries] if isinstance(entries, dict) else list(entries)
    built = []
    with DefaultScope.overwrite_default_scope('mmagic'):
        for entry in entries:
            kind = METRICS.get(entry['type'])
            mode = getattr(kind, 'SAMPLER_MODE', None)
            if mode == PairedMetric.SAMPLER_MODE:
                built.append(METRICS.build(copy.deepcopy(entry)))
            else:
                print_log(
                    f'{entry["type"]} cannot score a folder of images: left out',
                    'current',
                    logging.WARNING,
                )
    if not built:
        raise ValueError('Expected an SLNP metric in test_evaluator of the config, got none.')
    return built


def score_folder(
    dataset: Any, metrics: list[Any], folder: str, batch_size: int = 16, device: str = 'cpu'
) -> dict[str, float]:
    """Score images against a data set's labels and real images.

    Labels and real images go through the data set's own pipeline, the
    scored images are read as they are.

    Args:
        dataset (SLNPDataset): Gives ``img``, ``label`` and metainfo.
        metrics (List[PairedMetric]): Get the results.
        folder (str): Images named like the data set's, any ending.
        batch_size (int): Images at a time. Defaults to 16.
        device (str): Torch device. Defaults to 'cpu'.

    Returns:
        Dict[str, float]: All figures by name.

    Raises:
        ValueError: If names do not pair up or an image does not decode.
    """
    stems = [_stem(dataset.get_data_info(i)['img_path']) for i in range(len(dataset))]
    if len(set(stems)) != len(stems):
        raise ValueError('Expected images of different names in the data set, got two of one name.')
    paths = pair(list_images(folder), stems, folder)
    return _score(dataset, metrics, ((_read(path), path) for path in paths), batch_size, device)


def score_training(
    cfg: Config, dataset: Any, metrics: list[Any], batch_size: int = 16, device: str = 'cpu'
) -> dict[str, float]:
    """Score real training images as if they had been generated.

    The distances tell how near unseen photographs come: what a perfect generator would reach.
    As many training images as the data set has are taken, evenly spaced.

    Args:
        cfg (Config): Its ``train_dataloader`` names the training images; they go through the
            test pipeline.
        dataset (SLNPDataset): Of :func:`build_dataset`.
        metrics (List[FeatureMetric]): Get the results.
        batch_size (int): Images at a time. Defaults to 16.
        device (str): Torch device. Defaults to 'cpu'.

    Returns:
        Dict[str, float]: All figures by name.

    Raises:
        ValueError: If there are fewer training images.
    """
    cfg = copy.deepcopy(cfg)
    source, target = (
        next(iter(part_configs(cfg[f'{name}_dataloader'].dataset))) for name in ('train', 'test')
    )
    target.update({k: source[k] for k in ('split', 'data_prefix', 'indices') if k in source})
    train, count = build_dataset(cfg), len(dataset)
    if len(train) < count:
        raise ValueError(f'Expected at least {count} training images, got {len(train)}.')
    images = ((train[i * len(train) // count]['inputs']['img'], '') for i in range(count))
    return _score(dataset, metrics, images, batch_size, device)


def _score(
    dataset: Any,
    metrics: list[Any],
    images: Iterable[tuple[torch.Tensor, str]],
    batch_size: int,
    device: str,
) -> dict[str, float]:
    """Score images and their paths, in data set order, as a model's output."""
    for metric in metrics:
        metric.dataset_meta = dataset.metainfo
        metric.device = torch.device(device)
    batch: list[dict] = []
    for i, (image, path) in track_iter_progress((enumerate(images), len(dataset)), file=sys.stderr):
        item = dataset[i]['inputs']
        batch.append(
            dict(
                fake_img=image,
                gt_img=item['img'],
                gt_sem_seg=item['label'][0],
                sample_idx=i,
                img_path=path,
            )
        )
        if len(batch) == batch_size or i + 1 == len(dataset):
            for metric in metrics:
                metric.process(None, batch)
            batch = []
    out: dict[str, float] = {}
    for metric in metrics:
        out.update(metric.evaluate(len(dataset)))
    return out


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _read(path: str) -> torch.Tensor:
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'Expected an image in {path}, got a file that does not decode.')
    return torch.from_numpy(image).permute(2, 0, 1)


def names_of(dataset: Any) -> tuple[str, str | None]:
    """Name and split of a data set, for the protocol.

    The split is the label folder below the data root. The parts of a
    joined set are joined by ``+``.
    """
    found = [_names(part) for part in parts(dataset)]
    names, splits = (dict.fromkeys(column) for column in zip(*found))
    return ' + '.join(names), ' + '.join(filter(None, splits)) or None


def _names(dataset: Any) -> tuple[str, str | None]:
    """Name and split of one data set, a foreign one without split."""
    if not hasattr(dataset, 'data_prefix'):
        return type(dataset).__name__, None
    labels = str(dataset.data_prefix.get('label', ''))
    root = str(dataset.data_root or '')
    split = os.path.relpath(labels, root) if root else labels
    return type(dataset).__name__, split if '..' not in split else _stem(labels)
