"""Pictures from label maps: one call in Python."""

from __future__ import annotations

import glob
import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmagic.registry import DATASETS, MODELS
from mmagic.structures import DataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.infer import BaseInferencer
from mmengine.registry import DefaultScope
from PIL import Image
from rich.progress import track
from torch import Tensor, nn

from .checkpoint import (
    check_state,
    last_checkpoint,
    read_checkpoint,
    read_config,
    sampling_config,
    sampling_state,
)
from .datasets.codec import UNLABELLED
from .datasets.files import (
    LABEL_SUFFIXES,
    Suffix,
    as_suffixes,
    cut_suffix,
    decode_ids,
    decode_image,
    exif_orientation,
    id24,
    list_files,
    read_bytes,
    turned,
)
from .datasets.transforms import SLNPLoadInstances, SLNPLoadLabel, SLNPResize
from .datasets.transforms.processing import as_sides
from .datasets.wrappers import part_configs, places
from .errors import DataError, SLNPError, check_device, check_file
from .evaluation.functional.images import to_uint8
from .files import write_picture
from .zoo import zoo_checkpoint, zoo_models

# Steps of a test pipeline that need the real picture, or change the sample
# at random; a picture is to show the whole label map.
SKIPPED = ('SLNPLoadImage', 'SLNPFlip', 'SLNPCrop')
PACKED = ('label', 'instances', 'instance_labels')
# What parts of a joined data set may have of their own: where their files are.
_OWN = ('data_root', 'data_prefix', 'ann_file', 'split', 'indices', 'skip_corrupt')
Picture = str | os.PathLike | np.ndarray | Image.Image


class SLNPInferencer(BaseInferencer):
    """A trained generator that turns label maps into pictures.

    ::

        inferencer = SLNPInferencer('nyuv2')  # of the zoo, or (config, checkpoint)
        result = inferencer('label.png', num_samples=4)
        result['visualization'][0]     # (H, W, 3), RGB, uint8

    One inferencer may be called from several threads at once.

    Args:
        config (str | PathLike | Config, optional): The config it was trained with, or, without
            ``checkpoint``, the name of a model of :meth:`list_models`. Defaults to None: the one
            that the checkpoint holds.
        checkpoint (str | PathLike, optional): Checkpoint file, or a work dir, of which the last is
            taken. Defaults to None: that of the zoo's model ``config``, or of its first.
        device (str): 'cpu', 'cuda', 'cuda:N', or 'auto': CUDA if there is one. Defaults to 'auto'.
        show_progress (bool): Whether a call of several batches shows a bar. Defaults to True.

    Attributes:
        image_size (tuple[int]): Height and width it was trained for.
        classes (tuple[str]): Name of each class.
        palette (list[list[int]]): RGB of each class, 0..255.
        size_divisor (int): Sides of a label map must be multiples of this.
        checkpoint (str): The file that was loaded.
        places (list[str]): Folders of the config's data set, which nothing is to be written to.

    Raises:
        SLNPError: If a file is missing, the checkpoint does not fit, or the device is not there.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config | None = None,
        checkpoint: str | os.PathLike | None = None,
        device: str = 'auto',
        show_progress: bool = True,
    ) -> None:
        if checkpoint is None:
            if isinstance(config, Config) or str(config).endswith('.py'):
                raise SLNPError(
                    'a config needs its checkpoint: SLNPInferencer(config, checkpoint); without '
                    "both, the zoo's model is taken"
                )
            checkpoint, config = zoo_checkpoint(config), None
        checkpoint = os.fspath(checkpoint)
        if os.path.isdir(checkpoint):
            checkpoint = last_checkpoint(checkpoint) or os.path.join(checkpoint, 'last_checkpoint')
        check_file(checkpoint, 'checkpoint', 'train one with tools/train.py')
        self.checkpoint = checkpoint
        if config is None:
            config = read_config(checkpoint)
        elif not isinstance(config, Config):
            config = str(check_file(config, 'config', 'runnable ones are configs/*.py'))
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        super().__init__(config, checkpoint, check_device(device), 'mmagic', show_progress)

    @staticmethod
    def list_models() -> dict[str, str]:
        """Name of each model of the zoo, the default first, and what it draws."""
        return {name: model.about for name, model in zoo_models().items()}

    def __call__(
        self,
        inputs: Picture | Sequence[Picture],
        return_datasamples: bool = False,
        batch_size: int = 8,
        *,
        instances: Picture | Sequence[Picture] | None = None,
        num_samples: int = 1,
        seed: int | None = None,
        truncation: float = 1.0,
        noise: np.ndarray | Tensor | None = None,
        style: Picture | None = None,
        resample: dict[int, int] | None = None,
        size: int | tuple[int, int] | str | None = None,
        return_stages: bool = False,
        return_attention: bool = False,
        out_dir: str | os.PathLike | None = None,
    ) -> dict[str, list]:
        """Generate.

        A label map is one of

        - an array of classes, (H, W), integers 0..C-1, 255 = unlabelled (mmseg's contract);
        - an array of colors, (H, W, 3), RGB, uint8, of :attr:`palette`, black = unlabelled;
        - a file, or a PIL image, of ids as those of the config's data set, or of colors;
        - a folder of files, or a glob.

        Args:
            inputs: A label map, or a list of them.
            return_datasamples (bool): Give ``predictions`` as DataSample. Defaults to False.
            batch_size (int): Pictures at once, >= 1. Defaults to 8.
            instances: Instance map of each label map, of its size: a file, array or PIL image of
                ids. Defaults to None: each connected region of a class is an instance.
            num_samples (int): Pictures a label map, >= 1. Defaults to 1.
            seed (int, optional): Picture k of each label map has the noise of ``seed + k``.
                Defaults to None, which is 0.
            truncation (float): How far the noise of a seed goes from the average, [0, 1]: below 1
                pictures vary less and look more usual; with 0 all are the same (docs/results.md).
                Not with noise or style. Defaults to 1.
            noise (ndarray | Tensor, optional): In the seed's place: ``noise`` of an earlier
                prediction, or a mix of such, as the generator takes it; one, or one a picture.
            style: In the seed's place: a photograph (a file, an RGB array or PIL image) whose
                code is the noise.
            resample (dict[int, int], optional): From ids of :meth:`instances` to seeds: the noise
                of these instances is of another seed; all others keep their codes. For one label
                map.
            size (int | tuple[int] | str, optional): Side, or height and width, to which label and
                instances are resized (nearest) first; 'config': as the test pipeline of the config
                resizes. Defaults to None, the label map's own size.
            return_stages (bool): Also give the picture of each stage. Defaults to False.
            return_attention (bool): Also give the refiners' weights (fig. 12). Defaults to False.
            out_dir (str | PathLike, optional): Folder to which pictures are written, as
                ``NAME.png``, or ``NAME_K.png`` for several samples; arrays are named by their
                place in the list.

        Returns:
            dict[str, list]: One entry a picture, the samples of a label map side by side.

            - ``visualization``: (H, W, 3), RGB, uint8.
            - ``predictions``: dicts with ``name`` (str); ``seed`` (int, None for a given noise);
              ``noise``, (D, h, w), float32; ``label`` (H, W), uint8; ``instances`` (H, W), int32,
              -1 = none; ``instance_labels`` (n, ), int64, the class of each instance; if asked
              for, ``stages``, one (h, w, 3), RGB, uint8, a stage, and ``attention``, one
              (N_h, N_w, n), float32, a refiner. Or, with ``return_datasamples``, DataSamples on
              the CPU with ``fake_img`` and ``stage_imgs`` (BGR, 0..255), ``gt_sem_seg``,
              ``noise``, ``instances`` (K, H, W), ``instance_labels`` and, if asked for,
              ``attention``; ``label_name`` and ``seed`` are metainfo.

        Raises:
            SLNPError: If an argument or a label map is not as said above; a size that the network
                does not take is told with the nearest that work.
        """
        entries = self._inputs_to_list(inputs)
        names = [name for name, _ in entries]
        if out_dir is not None and len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise SLNPError(
                f'two label maps are named {twice}: generate one by one, or leave out_dir out'
            )
        batches = self.preprocess(
            entries,
            batch_size,
            instances=instances,
            num_samples=num_samples,
            seed=seed,
            truncation=truncation,
            noise=noise,
            style=style,
            resample=resample,
            size=size,
            return_attention=return_attention,
        )
        total = math.ceil(len(entries) * num_samples / max(batch_size, 1))
        if self.show_progress and total > 1:
            batches = track(batches, 'Generating', total)
        samples = [sample for batch in batches for sample in self.forward(batch)]
        pictures = self.visualize(entries, samples, out_dir=out_dir)
        return self.postprocess(samples, pictures, return_datasamples, return_stages=return_stages)

    # What a painter needs

    def read_label(self, source: Picture, where: str | None = None) -> np.ndarray:
        """Read one label map of any size as classes.

        Args:
            source: A label map, as in a call.
            where (str, optional): What error texts call it. Defaults to None: the path.

        Returns:
            ndarray: (H, W), uint8, 0..C-1, 255 = unlabelled.

        Raises:
            SLNPError: If it cannot be read, or an id or a color is of no class.
        """
        path = os.fspath(source) if isinstance(source, (str, os.PathLike)) else None
        where = where or path or 'the label map'
        codec = self.dataset.codec
        if isinstance(source, np.ndarray):
            if source.ndim == 3:
                return self._classes_of(source, where)
            return self._check_classes(source, where)
        if path is None and not isinstance(source, Image.Image):
            raise SLNPError(
                f'a label map is a path, an array or a PIL image, but {where} is a '
                f'{type(source).__name__}'
            )
        data = _png(source) if path is None else read_bytes(path)
        raw = decode_ids(data, where, codec.reads_colors)
        if codec.reads_colors:
            return codec(raw, where)
        colored = decode_ids(data, where, colors=True)
        known = colored.ndim == 3 and set(np.unique(id24(colored)).tolist()) <= set(self._colors)
        if raw.ndim == 3:
            grey = (raw[..., :1] == raw[..., :3]).all()
            return codec(raw, where) if grey and not known else self._classes_of(raw, where)

        # indices of a palette: its colors, if they are known, must say the same
        if known:
            by_color = self._classes_of(colored, where)
            try:
                by_index = codec(raw, where)
            except DataError:
                return by_color
            if not np.array_equal(by_color, by_index):
                raise SLNPError(
                    f'{where} is a palette file whose indices and colors name other classes; save '
                    'it as grey PNG of ids, or as RGB'
                )
        return codec(raw, where)

    def instances(
        self,
        label: Picture,
        instances: Picture | None = None,
        size: int | tuple[int, int] | str | None = None,
    ) -> np.ndarray:
        """Number the instances of a label map, as ``resample`` takes them.

        Args:
            label: A label map, as in a call.
            instances: Its instance map, as in a call. Defaults to None: connected regions.
            size (int | tuple[int] | str, optional): As in a call.

        Returns:
            ndarray: (H, W), int32, by decreasing area from 0; -1 = none. The smallest regions
            beyond the config's ``max_instances`` share an id with others of their class.
        """
        sample = self._read(self._inputs_to_list(label)[0], instances, size)
        return sample['instances'][0].numpy().astype(np.int32)

    # What BaseInferencer calls

    def _init_model(self, cfg: Config, weights: str, device: str = 'cpu') -> nn.Module:
        """Build the generator and its prior alone, and load them."""
        stored = read_checkpoint(weights)
        with DefaultScope.overwrite_default_scope('mmagic'):
            model = MODELS.build(sampling_config(cfg.model))
        if not hasattr(model, 'noise_fn'):
            raise SLNPError(f'{cfg.filename} is no config of a GAN; use configs/slnp_*.py')
        stored['state_dict'] = sampling_state(stored.get('state_dict', stored))
        check_state(stored, model, weights)
        model.load_state_dict({key: stored['state_dict'][key] for key in model.state_dict()})
        return model.to(device).eval()

    def _init_pipeline(self, cfg: Config) -> Compose:
        """Make the label rules and the test pipeline from after the loading on."""
        settings = list(part_configs(cfg.test_dataloader.dataset))
        _check_alike(settings)
        with DefaultScope.overwrite_default_scope('mmagic'):
            datasets = [_rules_only(part) for part in settings]
            steps = [step for step in settings[0]['pipeline'] if step['type'] not in SKIPPED]
            pack = dict(keys=PACKED)
            steps = [dict(s, **pack) if s['type'] == 'SLNPPackInputs' else s for s in steps]
            steps = Compose(steps).transforms
        self.dataset = datasets[0]
        self.dataset.make_rules()
        self.places = [place for dataset in datasets for place in places(dataset)]
        self.classes = self.dataset.metainfo['classes']
        self.palette = self.dataset.metainfo['palette']
        self.size_divisor = self.model.generator.size_divisor

        # known colors; what two classes share tells neither
        self._colors: dict[int, int | None] = {0: UNLABELLED}
        codes = id24(np.array(self.palette, np.uint8)).tolist()
        for index, code in enumerate(codes):
            self._colors[code] = index if codes.count(code) == 1 else None

        loaders = [step for step in steps if isinstance(step, SLNPLoadInstances)]
        self._loader = (loaders or [SLNPLoadInstances()])[0]
        sizes = [step.size for step in steps if isinstance(step, SLNPResize)]
        size = [*filter(None, sizes), self.dataset.image_size][0]
        if size is None:
            raise SLNPError('the config says no size: set image_size of test_dataloader.dataset')
        self.image_size = as_sides(size)
        return Compose(
            [step for step in steps if not isinstance(step, (SLNPLoadLabel, SLNPLoadInstances))]
        )

    def _init_collate(self, cfg: Config) -> Callable:
        """Batches are put together by :func:`_collate`."""
        return _collate

    def _init_visualizer(self, cfg: Config) -> None:
        """Pictures are given back, not drawn on."""

    def _inputs_to_list(self, inputs: Picture | Sequence[Picture]) -> list[tuple[str, Picture]]:
        """Name of each label map, and the label map."""
        if isinstance(inputs, (str, os.PathLike)):
            found = find_labels(os.fspath(inputs), self.dataset.suffixes['label'])
            return [(name, path) for path, name in found]
        if not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        if not inputs:
            raise SLNPError('expected at least one label map, but got an empty list')
        return [
            (Path(x).stem if isinstance(x, (str, os.PathLike)) else str(i), x)
            for i, x in enumerate(inputs)
        ]

    def preprocess(
        self,
        inputs: list[tuple[str, Picture]],
        batch_size: int = 1,
        instances: Picture | Sequence[Picture] | None = None,
        num_samples: int = 1,
        seed: int | None = None,
        truncation: float = 1.0,
        noise: np.ndarray | Tensor | None = None,
        style: Picture | None = None,
        resample: dict[int, int] | None = None,
        size: int | tuple[int, int] | str | None = None,
        return_attention: bool = False,
    ) -> Iterator[dict]:
        """Give batches of pictures of one size; see :meth:`__call__`."""
        if min(num_samples, batch_size) < 1:
            raise SLNPError(
                'num_samples and batch_size must be at least 1, but got '
                f'{num_samples} and {batch_size}'
            )
        maps = instances if isinstance(instances, (list, tuple)) else [instances]
        if len(maps) != len(inputs) and instances is not None:
            raise SLNPError(
                f'expected one instance map a label map ({len(inputs)}), but got {len(maps)}'
            )
        if resample and len(inputs) > 1:
            raise SLNPError(f'resample is for one label map, but got {len(inputs)}')
        if not 0 <= truncation <= 1:
            raise SLNPError(f'truncation must be from 0 to 1, but got {truncation}')
        if truncation < 1 and (noise is not None or style is not None):
            raise SLNPError('truncation is for the noise of seeds: leave noise and style out')
        codes = self._codes(len(inputs), num_samples, seed, truncation, noise, style)
        others = {k: self._seed_code(one, truncation) for k, one in (resample or {}).items()}

        batch: list[dict] = []
        for index, entry in enumerate(inputs):
            sample = self._read(entry, maps[index % len(maps)], size)
            self._check_resample(others, sample)
            for k in range(num_samples):
                code_seed, code = codes[(index * num_samples + k) % len(codes)]
                one = dict(sample, code=code, seed=code_seed, sample=k if num_samples > 1 else None)
                if batch and (
                    len(batch) == batch_size or batch[0]['label'].shape != one['label'].shape
                ):
                    yield self.collate_fn(batch, others, return_attention)
                    batch = []
                batch.append(one)
        yield self.collate_fn(batch, others, return_attention)

    @torch.no_grad()
    def forward(self, inputs: dict) -> list[DataSample]:
        """Generate a batch; the samples lie on the CPU."""
        samples = self.model.test_step(inputs)
        for i, sample in enumerate(samples):
            for key, value in sample.items():
                value = [x.cpu() for x in value] if isinstance(value, list) else value.cpu()
                sample.set_field(value, key)
            for key in PACKED[1:]:
                sample.set_field(inputs['inputs'][key][i].long(), key)
        return samples

    def visualize(
        self,
        inputs: list[tuple[str, Picture]],
        preds: list[DataSample],
        out_dir: str | os.PathLike | None = None,
    ) -> list[np.ndarray]:
        """Give (H, W, 3), RGB, uint8, and write them if ``out_dir`` is given."""
        pictures = [_rgb(sample.fake_img) for sample in preds]
        if out_dir is not None:
            for sample, picture in zip(preds, pictures):
                name = picture_name(sample.metainfo['label_name'], sample.metainfo['sample'])
                write_picture(os.path.join(out_dir, name), picture)
        return pictures

    def postprocess(
        self,
        preds: list[DataSample],
        visualization: list[np.ndarray],
        return_datasamples: bool = False,
        return_stages: bool = False,
    ) -> dict[str, list]:
        """Give what :meth:`__call__` returns."""
        if not return_datasamples:
            preds = [_plain(sample, return_stages) for sample in preds]
        return dict(predictions=preds, visualization=visualization)

    # Label maps

    def _read(
        self,
        entry: tuple[str, Picture],
        instances: Picture | None,
        size: int | tuple[int, int] | str | None,
    ) -> dict:
        """Read one label map into the tensors of the batch contract, and its name."""
        name, source = entry
        where = os.fspath(source) if isinstance(source, (str, os.PathLike)) else f'label map {name}'
        label = self.read_label(source, where)
        if isinstance(instances, Image.Image):
            instances = decode_ids(_png(instances), f'the instance map of {where}')
        elif instances is not None and not isinstance(instances, np.ndarray):
            instances = str(check_file(instances, 'instance map', 'add it'))
        found = self.dataset.source.make(
            label, where, instances, self._loader.max_instances, self._loader.max_overlap
        )
        results = dict(
            label=label,
            instances=found.layers,
            instance_labels=found.classes,
            max_instances=self._loader.max_instances,
            label_path=where,
            img_path=where,
            **self.dataset.rules(),
        )

        steps = self.pipeline.transforms
        if size != 'config':
            steps = [step for step in steps if not isinstance(step, SLNPResize)]
            if size is not None:
                steps.insert(0, SLNPResize(size))
        sample = Compose(steps)(results)['inputs']
        self._check_size(sample['label'].shape[-2:], where)
        return dict(sample, name=name)

    def _check_classes(self, label: np.ndarray, where: str) -> np.ndarray:
        """An array of classes as uint8."""
        if label.ndim != 2 or label.dtype.kind not in 'iu' or not label.size:
            raise SLNPError(
                f'{where}: expected integers (H, W) or RGB colors (H, W, 3), but got '
                f'{label.dtype} of shape {label.shape}'
            )
        ids = np.unique(label)
        wrong = ids[((ids < 0) | (ids >= len(self.classes))) & (ids != UNLABELLED)]
        if len(wrong):
            raise SLNPError(
                f'{where}: an array holds classes 0..{len(self.classes) - 1} and 255 = unlabelled, '
                f'but got {wrong[0]}; give the path of a label file to read it by the rules of its '
                'data set'
            )
        return label.astype(np.uint8)

    def _classes_of(self, colors: np.ndarray, where: str) -> np.ndarray:
        """Classes, (H, W), uint8, of RGB(A) colors."""
        if colors.shape[-1] not in (3, 4) or colors.dtype != np.uint8:
            raise SLNPError(
                f'{where}: expected RGB colors (H, W, 3), uint8, but got {colors.dtype} of shape '
                f'{colors.shape}'
            )
        codes, place = np.unique(id24(colors[..., :3]), return_inverse=True)
        found = [self._colors.get(code) for code in codes.tolist()]
        if None in found:
            code = int(codes[found.index(None)])
            rgb = (code & 255, code >> 8 & 255, code >> 16)
            why = 'is shared by classes' if code in self._colors else 'is of no class'
            raise SLNPError(
                f'{where}: the color {rgb} {why}; a label map has the exact colors of the palette '
                '(no JPEG, no smoothed borders), or ids in one channel'
            )
        return np.array(found, np.uint8)[place].reshape(colors.shape[:2])

    def _check_size(self, shape: Sequence[int], where: str) -> None:
        """Raise if the network does not take a size, with the nearest that it takes."""
        step = self.size_divisor
        if all(side % step == 0 for side in shape):
            return
        ways = [{max(side // step, 1) * step, math.ceil(side / step) * step} for side in shape]
        near = ', '.join(f'{h} x {w}' for h in sorted(ways[0]) for w in sorted(ways[1]))
        raise SLNPError(
            f'{where} is {shape[0]} x {shape[1]} (height x width), but the network takes multiples '
            f'of {step}: the nearest are {near}; resize it, or give one of them as size (it was '
            f'trained at {self.image_size[0]} x {self.image_size[1]})'
        )

    # Noise

    def _codes(
        self,
        num_labels: int,
        num_samples: int,
        seed: int | None,
        truncation: float,
        noise: np.ndarray | Tensor | None,
        style: Picture | None,
    ) -> list[tuple[int | None, Tensor]]:
        """Seed and noise of each picture, or of the samples of every label map."""
        given = dict(seed=seed, noise=noise, style=style)
        given = [name for name, value in given.items() if value is not None]
        if len(given) > 1:
            raise SLNPError(f'{" and ".join(given)} each say what the noise is: give one of them')
        if style is not None:
            codes = self._style_code(style)[None]
        elif noise is not None:
            codes = torch.as_tensor(noise, dtype=torch.float32)
            codes = codes[None] if codes.ndim == 3 else codes
            shape = tuple(self.model.generator.noise_shape)
            if codes.shape[1:] != shape or len(codes) not in (1, num_labels * num_samples):
                raise SLNPError(
                    f'expected noise of shape {shape}, or {num_labels * num_samples} such, one a '
                    f'picture, but got {tuple(torch.as_tensor(noise).shape)}'
                )
        else:
            seeds = [(seed or 0) + k for k in range(num_samples)]
            return [(one, self._seed_code(one, truncation)) for one in seeds]
        if len(codes) == 1 and num_samples > 1:
            raise SLNPError(
                f'{num_samples} samples of one {given[0]} would be the same picture; leave '
                'num_samples out'
            )
        return [(None, code) for code in codes]

    @torch.no_grad()
    def _seed_code(self, seed: int, truncation: float) -> Tensor:
        """Noise of a seed as the generator takes it; z is the same on every device.

        Codes are linear in z, so a shorter z lies nearer their mean.
        """
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(1, *self.model.generator.noise_shape, generator=generator) * truncation
        return self.model.noise_fn(z.to(self.model.device))[0].cpu()

    def _style_code(self, style: Picture) -> Tensor:
        """Code of a photograph."""
        if self.model.noise_prior is None:
            raise SLNPError('style needs a noise prior, which this model (random noise) lacks')
        if isinstance(style, Image.Image):
            image = np.asarray(style.convert('RGB'))
        elif isinstance(style, np.ndarray):
            if style.ndim != 3 or style.shape[-1] != 3 or style.dtype != np.uint8:
                raise SLNPError(
                    'expected a photograph (H, W, 3), RGB, uint8, as style, but got '
                    f'{style.dtype} of shape {style.shape}'
                )
            image = style
        else:
            path = os.fspath(style)
            data = read_bytes(path)
            image = turned(decode_image(data, path), exif_orientation(data))[..., ::-1]
        image = SLNPResize(self.image_size)(dict(img=np.ascontiguousarray(image)))['img']
        image = torch.tensor(image).permute(2, 0, 1)[None].float() / 127.5 - 1
        return self.model.style_code(image.to(self.model.device))[0].cpu()

    def _check_resample(self, ids: dict, sample: dict) -> None:
        """Raise if an instance to be resampled is not there."""
        if ids and not self.model.generator.instance_pathway:
            raise SLNPError('resample needs instances, but this model sees classes only')
        count = int((sample['instance_labels'] >= 0).sum())
        for key in ids:
            if key not in range(count):
                raise SLNPError(
                    f'no instance {key} to resample: the label map has {count}, '
                    f'0..{count - 1}; inferencer.instances(label) shows them'
                )


def find_labels(path: str, suffix: Suffix = LABEL_SUFFIXES) -> list[tuple[str, str]]:
    """List label files.

    Args:
        path (str): One file, a folder that is searched, or a glob (``**`` for all below).
        suffix (str | Sequence[str]): Endings of label files, as the data set's ``label_suffix``.

    Returns:
        list[tuple[str, str]]: Path, and name below the folder (of a glob: the deepest that holds
        all) without suffix, sorted.

    Raises:
        SLNPError: If there is none.
    """
    path = os.path.expanduser(path)
    suffixes = as_suffixes(suffix)
    if os.path.isfile(path):
        name = os.path.basename(path)
        return [(path, cut_suffix(name, suffixes) or Path(path).stem)]
    if os.path.isdir(path):
        found = list_files(path, suffix)[0]
    else:
        files = [f for f in glob.glob(path, recursive=True) if cut_suffix(f, suffixes)]
        root = files and os.path.commonpath([os.path.dirname(f) for f in files])
        found = {cut_suffix(os.path.relpath(f, root or '.'), suffixes): f for f in sorted(files)}
    if not found:
        raise SLNPError(
            f'no label map at {path}: give a file, or a folder with files ending in '
            f'{" or ".join(suffixes)}'
        )
    return [(file, name) for name, file in found.items()]


def picture_name(name: str, sample: int | None) -> str:
    """File name of sample k of a label map; None if it has but one."""
    return f'{name}.png' if sample is None else f'{name}_{sample}.png'


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


def _rules_only(cfg: dict) -> Any:
    """Build a data set for its rules only; no file is looked for."""
    cfg = {k: v for k, v in cfg.items() if k not in ('instances', 'ann_file')}
    instance = cfg.get('instance') or {}
    lists = ('json_file', 'category_map')
    cfg['instance'] = {k: v for k, v in instance.items() if k not in lists}
    return DATASETS.build(dict(cfg, lazy_init=True, pipeline=[]))


def _collate(batch: list[dict], others: dict[int, Tensor], return_attention: bool) -> dict:
    """Stack samples into what ``test_step`` takes."""
    inputs: dict[str, Any] = {
        key: torch.stack([one[key] for one in batch]) for key in (*PACKED, 'code')
    }
    repeated = {key: code.expand(len(batch), *code.shape) for key, code in others.items()}
    inputs['sample_kwargs'] = dict(return_attention=return_attention, resample=repeated)
    samples = [
        DataSample(metainfo=dict(label_name=one['name'], seed=one['seed'], sample=one['sample']))
        for one in batch
    ]
    return dict(inputs=inputs, data_samples=samples)


def _png(image: Image.Image) -> bytes:
    """A PIL image as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, 'PNG')
    return buffer.getvalue()


def _rgb(image: Tensor) -> np.ndarray:
    """(3, H, W), BGR, 0..255, as (H, W, 3), RGB, uint8."""
    return np.ascontiguousarray(to_uint8(image)[..., ::-1])


def _plain(sample: DataSample, return_stages: bool) -> dict:
    """A sample as arrays; see :meth:`SLNPInferencer.__call__`."""
    classes = sample.instance_labels[sample.instance_labels >= 0].numpy()
    plain = dict(
        name=sample.metainfo['label_name'],
        seed=sample.metainfo['seed'],
        noise=sample.noise.numpy(),
        label=sample.gt_sem_seg.numpy().astype(np.uint8),
        instances=sample.instances[0].numpy().astype(np.int32),
        instance_labels=classes,
    )
    if return_stages:
        plain['stages'] = [_rgb(image) for image in sample.stage_imgs]
    if 'attention' in sample:
        plain['attention'] = [x[..., : len(classes)].numpy() for x in sample.attention]
    return plain
