"""Pictures from label files that belong to no data set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import torch
from mmagic.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint

from .checkpoint import check_checkpoint
from .datasets.files import LABEL_SUFFIXES, Suffix, as_suffixes, cut_suffix, list_files
from .datasets.wrappers import part_configs, places
from .errors import SLNPError, check_device, check_file
from .evaluation.functional.images import to_uint8
from .files import replace_file

# Steps of a test pipeline that need the real picture, or change the sample
# at random; a picture is to show the whole label map.
SKIPPED = ('SLNPLoadImage', 'SLNPFlip', 'SLNPCrop', 'SLNPColorJitter')
PACKED = ('label', 'instances', 'instance_labels')
# What parts of a joined data set may have of their own: where their files are.
_OWN = ('data_root', 'data_prefix', 'ann_file', 'split', 'indices', 'skip_corrupt')


def find_labels(path: str, suffix: Suffix = LABEL_SUFFIXES) -> list[tuple[str, str]]:
    """List label files.

    Args:
        path (str): One file, or a folder that is searched.
        suffix (str | Sequence[str]): Endings of label files, as the data set's ``label_suffix``.

    Returns:
        list[tuple[str, str]]: Path, and name below the folder without
        suffix, sorted.

    Raises:
        SLNPError: If there is none.
    """
    path = os.path.expanduser(path)
    if os.path.isfile(path):
        name = os.path.basename(path)
        return [(path, cut_suffix(name, as_suffixes(suffix)) or Path(path).stem)]
    found = list_files(path, suffix)[0] if os.path.isdir(path) else {}
    if not found:
        raise SLNPError(
            f'no label map at {path}: give a file, or a folder with files ending in '
            f'{" or ".join(as_suffixes(suffix))}'
        )
    return [(file, name) for name, file in found.items()]


def write_picture(path: str, image: torch.Tensor) -> None:
    """Write a picture.

    Args:
        path (str): PNG file; its folder is made.
        image (Tensor): (3, H, W), BGR, 0..255.
    """
    # OpenCV writes only where the path is text
    with replace_file(path) as draft, open(draft, 'wb') as file:
        file.write(cv2.imencode('.png', to_uint8(image))[1])


def _check_alike(settings: list[dict]) -> None:
    """Raise if parts of a joined data set read their labels by different rules."""
    first, *others = [{k: v for k, v in part.items() if k not in _OWN} for part in settings]
    for other in others:
        names = sorted(k for k in {*first, *other} if first.get(k) != other.get(k))
        if names:
            raise SLNPError(
                f'the parts of test_dataloader differ in {", ".join(names)}, so that it is open '
                'how the label maps are written: name one part in the config'
            )


class Generation:
    """A trained model with the label rules of its config.

    Args:
        cfg (Config): Config of the checkpoint; a data set of several parts
            (ConcatDataset) must write all labels by one rule.
        checkpoint (str): Checkpoint file.
        device (str): 'cpu', 'cuda', 'cuda:N', or 'auto': CUDA if there is one. Defaults to 'auto'.

    Raises:
        SLNPError: If the checkpoint does not fit, or the device is not there.
    """

    def __init__(self, cfg: Config, checkpoint: str, device: str = 'auto') -> None:
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        check_device(device)
        init_default_scope('mmagic')
        self.model = MODELS.build(cfg.model)
        if not hasattr(self.model, 'noise_fn'):
            raise SLNPError(f'{cfg.filename} is no config of a GAN; use configs/slnp_*.py')
        check_checkpoint(checkpoint, self.model)
        load_checkpoint(self.model, checkpoint, map_location='cpu')
        self.model = self.model.to(device).eval()

        settings = list(part_configs(cfg.test_dataloader.dataset))
        _check_alike(settings)
        datasets = [self._dataset(part) for part in settings]
        self.places = [place for dataset in datasets for place in places(dataset)]
        self.dataset = datasets[0]
        self.dataset.make_rules()
        self.pipeline = self._pipeline(settings[0]['pipeline'])

    @staticmethod
    def _dataset(cfg: dict):
        """Build the data set for its rules only; no file is looked for."""
        cfg = {k: v for k, v in cfg.items() if k not in ('instances', 'ann_file')}
        instance = cfg.get('instance') or {}
        lists = ('json_file', 'category_map')
        cfg['instance'] = {k: v for k, v in instance.items() if k not in lists}
        return DATASETS.build(dict(cfg, lazy_init=True, pipeline=[]))

    @staticmethod
    def _pipeline(steps: list) -> Compose:
        """The test pipeline without the real picture."""
        kept = []
        for step in steps:
            if step['type'] == 'SLNPLoadInstances':
                step = dict(step, cache_dir=None)
            if step['type'] == 'SLNPPackInputs':
                step = dict(step, keys=PACKED)
            if step['type'] not in SKIPPED:
                kept.append(step)
        return Compose(kept)

    def sample(self, path: str, instance_path: str = '') -> dict:
        """Read one label file.

        Args:
            path (str): Label file, written as those of the data set.
            instance_path (str): Instance map, '' to take each connected
                region of a class as an instance. Defaults to ''.

        Returns:
            dict: ``inputs`` and ``data_samples`` of the batch contract,
            without ``img``.
        """
        return self.pipeline(
            dict(
                img_path=path,
                label_path=path,
                instance_path=instance_path,
                label_codec=self.dataset.codec,
                instance_source=self.dataset.source,
                image_size=self.dataset.image_size,
            )
        )

    def noise(self, seed: int) -> torch.Tensor:
        """White noise z of one seed, the same on every device."""
        generator = torch.Generator().manual_seed(seed)
        shape = self.model.generator.noise_shape
        return torch.randn(*shape, generator=generator)

    def run(
        self,
        files: list[tuple[str, str]],
        instances: str | None = None,
        seed: int = 0,
        num_noises: int = 1,
        batch_size: int = 8,
    ) -> Iterator[tuple[str, partial]]:
        """Generate; noise k of every label map comes from ``seed + k``.

        Args:
            files (list): As :func:`find_labels` gives.
            instances (str, optional): Folder of instance maps.
            seed (int): First seed. Defaults to 0.
            num_noises (int): Pictures a label map, >= 1. Defaults to 1.
            batch_size (int): Pictures at once, >= 1. Defaults to 8.

        Yields:
            tuple: File name (``NAME.png``, or ``NAME_K.png`` for several),
            and a function that writes the picture to a path.

        Raises:
            SLNPError: If a number is below 1 or an instance map is missing.
        """
        if min(num_noises, batch_size) < 1:
            raise SLNPError(
                '--num-noises and --batch-size must be at least 1, but got '
                f'{num_noises} and {batch_size}'
            )
        todo = [(*f, k) for f in files for k in range(num_noises)]
        for start in range(0, len(todo), batch_size):
            part = todo[start : start + batch_size]
            samples = []
            for path, name, k in part:
                instance = ''
                if instances:
                    instance = os.path.join(instances, f'{name}.png')
                    check_file(instance, 'instance map', 'add it')
                sample = self.sample(path, instance)
                sample['inputs']['noise'] = self.noise(seed + k)
                samples.append(sample)
            with torch.no_grad():
                outputs = self.model.test_step(pseudo_collate(samples))
            for (_, name, k), output in zip(part, outputs):
                end = f'_{k}' if num_noises > 1 else ''
                image = output.fake_img.cpu()
                yield f'{name}{end}.png', partial(write_picture, image=image)
