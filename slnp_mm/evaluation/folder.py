"""Score a folder of images from any program."""

import copy
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmagic.registry import DATASETS, METRICS
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from mmengine.utils import track_iter_progress

from slnp_mm.datasets import SLNPLoadImage
from slnp_mm.datasets.files import (
    IMAGE_SUFFIXES,
    decode_image,
    header_size,
    list_files,
    one_form,
    read_bytes,
)
from slnp_mm.datasets.wrappers import parts
from slnp_mm.errors import SLNPError

from .metrics.base import PairedMetric


def list_images(folder: str, suffix: Sequence[str] = ()) -> dict[str, str]:
    """Paths of the images in a folder and below, by name below it without suffix.

    ``suffix`` adds the data set's suffixes to the usual ones.

    Raises:
        SLNPError: If the folder is missing, holds no image, or two of the same name.
    """
    if not os.path.isdir(folder):
        raise SLNPError(f'Image folder {folder} does not exist.')
    found, _ = list_files(folder, (*suffix, *IMAGE_SUFFIXES))
    if not found:
        raise SLNPError(f'Expected images ({", ".join(IMAGE_SUFFIXES)}) in {folder}, got none.')
    return found


def pair(images: dict[str, str], wanted: list[str], folder: str) -> list[str]:
    """Path of the image for each wanted name, in that order; all must match.

    Names are compared without their subfolders if no image is where its name expects it and the
    short names stay unique.

    Raises:
        SLNPError: If images are missing or extra; names them all.
    """
    if set(images).isdisjoint(wanted):
        flat = {os.path.basename(name): path for name, path in images.items()}
        short = [os.path.basename(name) for name in wanted]
        if len(flat) == len(images) and len(set(short)) == len(short):
            images, wanted = flat, short
    missing = sorted(set(wanted) - set(images))
    extra = sorted(set(images) - set(wanted))
    if missing or extra:
        both = (('missing', missing), ('extra', extra))
        parts = [f'{len(names)} {word}: {", ".join(names)}' for word, names in both if names]
        raise SLNPError(
            f'Expected in {folder} exactly one image for each of the '
            f'{len(wanted)} labels, by name; {"; ".join(parts)}.'
        )
    return [images[name] for name in wanted]


def names_in(dataset: Any, images: dict[str, str]) -> list[str]:
    """Names of a data set's images, to match against the images of a folder.

    These are the data set's sample names, or the full image file names if all images have those.
    """
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    root = dataset.data_prefix['img']
    files = [
        one_form(os.path.splitext(os.path.relpath(info['img_path'], root))[0]) for info in infos
    ]
    last = {os.path.basename(name) for name in files}
    if last == {os.path.basename(name) for name in images}:
        return files
    return [info['name'] for info in infos]


def build_dataset(cfg: Config, labels: str | None = None, reals: str | None = None) -> Any:
    """Build the test data set of a generator's config, unwrapped from a RepeatDataset.

    ``labels`` and ``reals`` replace the config's folders of label files and real images.

    Raises:
        SLNPError: If the config joins several sets.
    """
    dataset, *more = parts(copy.deepcopy(cfg.test_dataloader.dataset))
    if more:
        raise SLNPError(
            f'test_dataloader joins {len(more) + 1} data sets, but a folder of images belongs to '
            'one: keep one in the config'
        )
    if labels or reals:
        given = {k: os.path.abspath(v) for k, v in (('label', labels), ('img', reals)) if v}
        dataset.data_prefix = {**(dataset.get('data_prefix') or {}), **given}
    with DefaultScope.overwrite_default_scope('mmagic'):
        return DATASETS.build(dataset)


def build_metrics(cfg: Config) -> list[Any]:
    """Build the metrics of the config's test evaluator that can score a folder.

    Metrics that need more than one image per label are skipped with a warning.

    Raises:
        SLNPError: If none remains.
    """
    evaluator = cfg.get('test_evaluator') or {}
    entries = evaluator.get('metrics', evaluator) if isinstance(evaluator, dict) else evaluator
    entries = [entries] if isinstance(entries, dict) else list(entries)
    built = []
    with DefaultScope.overwrite_default_scope('mmagic'):
        for entry in entries:
            kind = METRICS.get(entry['type'])
            if getattr(kind, 'SAMPLER_MODE', None) == PairedMetric.SAMPLER_MODE:
                built.append(METRICS.build(copy.deepcopy(entry)))
            else:
                text = f'{entry["type"]} cannot score a folder of images: left out'
                print_log(text, 'current', logging.WARNING)
    if not built:
        raise SLNPError('Expected an SLNP metric in test_evaluator of the config, got none.')
    return built


def score_folder(
    dataset: Any, metrics: list[Any], folder: str, batch_size: int = 16, device: str = 'cpu'
) -> dict[str, float]:
    """Score images against a data set's labels and real images; all figures by name.

    Labels and real images go through the data set's pipeline; so do scored images that have the
    size of their real file, others are read as they are.

    Args:
        dataset (SLNPDataset): Gives ``img``, ``label`` and metainfo.
        metrics (list[PairedMetric]): Compute the figures.
        folder (str): Images with the data set's names and any suffix.
        batch_size (int): Images per batch.
        device (str): Torch device.

    Raises:
        SLNPError: If names do not pair up or an image does not decode.
    """
    images = list_images(folder, dataset.suffixes['img'])
    paths = pair(images, names_in(dataset, images), folder)
    read = ((_read(dataset, i, path), path) for i, path in enumerate(paths))
    return _score(dataset, metrics, read, batch_size, device)


def score_training(
    cfg: Config, dataset: Any, metrics: list[Any], batch_size: int = 16, device: str = 'cpu'
) -> dict[str, float]:
    """Score real training images as if they had been generated; otherwise as :func:`score_folder`.

    The distances show how close unseen real images come: what a perfect generator would reach. As
    many training images as the data set has are used, evenly spaced, through the test pipeline;
    ``dataset`` is from :func:`build_dataset`.

    Raises:
        SLNPError: If there are fewer training images.
    """
    cfg = copy.deepcopy(cfg)
    source, target = (next(parts(cfg[f'{name}_dataloader'].dataset)) for name in ('train', 'test'))
    target.update({k: source[k] for k in ('split', 'data_prefix', 'indices') if k in source})
    train, count = build_dataset(cfg), len(dataset)
    if len(train) < count:
        raise SLNPError(f'Expected at least {count} training images, got {len(train)}.')
    images = ((train[i * len(train) // count]['inputs']['img'], '') for i in range(count))
    return _score(dataset, metrics, images, batch_size, device)


def _score(
    dataset: Any,
    metrics: list[Any],
    images: Iterable[tuple[torch.Tensor, str]],
    batch_size: int,
    device: str,
) -> dict[str, float]:
    """Score images and their paths, in data set order, like a model's output."""
    for metric in metrics:
        metric.dataset_meta = dataset.metainfo
        metric.device = torch.device(device)
    batch: list[dict] = []
    for i, (image, path) in track_iter_progress((enumerate(images), len(dataset)), file=sys.stderr):
        item = dataset[i]['inputs']
        real = dict(gt_img=item['img'], gt_sem_seg=item['label'][0])
        batch.append(dict(real, fake_img=image, sample_idx=i, img_path=path))
        if len(batch) == batch_size or i + 1 == len(dataset):
            for metric in metrics:
                metric.process(None, batch)
            batch = []
    out: dict[str, float] = {}
    for metric in metrics:
        out.update(metric.evaluate(len(dataset)))
    return out


def _read(dataset: Any, index: int, path: str) -> torch.Tensor:
    """Read an image to score as (3, H, W), uint8, BGR.

    If it has the size of the real file, the data set's pipeline resizes it, so that a real image
    equals itself; otherwise it is scored as it is.
    """
    info = {**dataset.get_data_info(index), **dataset.rules()}
    same = _size(path) == _size(info['img_path'])
    info['img_path'] = path
    if same:
        return dataset.pipeline(info)['inputs']['img']
    image = SLNPLoadImage()(dict(info, image_size=None))['img']
    return torch.from_numpy(image).permute(2, 0, 1)


def _size(path: str) -> tuple[int, int]:
    """Height and width of an image file."""
    data = read_bytes(path)
    return header_size(data) or decode_image(data, path).shape[:2]


def names_of(dataset: Any) -> tuple[str, str | None]:
    """Name and split of a data set for the protocol; parts of a joined set are joined by ``+``.

    The split is the label folder below the data root; other packages' data sets have none.
    """
    names, splits = [], []
    for part in parts(dataset):
        names.append(type(part).__name__)
        if hasattr(part, 'data_prefix'):
            labels, root = str(part.data_prefix.get('label', '')), str(part.data_root or '')
            split = os.path.relpath(labels, root) if root else labels
            splits.append(split if '..' not in split else os.path.basename(labels))
    names, splits = (' + '.join(filter(None, dict.fromkeys(found))) for found in (names, splits))
    return names, splits or None
