"""Generate images from label maps with one Python call."""

from __future__ import annotations

import copy
import math
import operator
import os
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from rich.progress import track
from torch import Tensor, nn

from .checkpoint import (
    check_classes,
    check_state,
    last_checkpoint,
    read_checkpoint,
    read_config,
    sampling_config,
    sampling_state,
)
from .datasets import transforms
from .datasets.files import Source, decode_ids, find_labels, open_source, read_image
from .datasets.transforms.processing import as_sides
from .datasets.wrappers import build_rules, places
from .errors import SLNPError, check_device, check_file, check_seed
from .evaluation.functional.images import to_uint8
from .files import write_image
from .zoo import zoo_checkpoint, zoo_models

# steps of a test pipeline that are done here, need the real image, or are random
SKIPPED = ('SLNPLoadImage', 'SLNPLoadLabel', 'SLNPLoadInstances', 'SLNPFlip')
PACKED = ('label', 'instances', 'instance_labels')
Size = int | tuple[int, int] | str | None


class SLNPInferencer:
    """A trained generator that turns label maps into images; safe to call from several threads.

    ::

        inferencer = SLNPInferencer('nyuv2')  # from the zoo, or (config, checkpoint)
        result = inferencer('label.png', num_samples=4)
        result['visualization'][0]     # (H, W, 3), RGB, uint8

    Args:
        config (str | PathLike | Config, optional): The config it was trained with, or, without
            ``checkpoint``, a name from :meth:`list_models`. Defaults to None: the config in the
            checkpoint.
        checkpoint (str | PathLike, optional): A checkpoint, or a work dir, whose last one is used.
            Defaults to None: that of the zoo model ``config``, or of the zoo's first model.
        device (str): 'cpu', 'cuda', 'cuda:N', or 'auto': CUDA if available. Defaults to 'auto'.
        show_progress (bool): Whether a call with several batches shows a bar. Defaults to True.

    Attributes:
        image_size (tuple[int]): Height and width it was trained for.
        classes (tuple[str]): Class names.
        palette (list[list[int]]): RGB of each class, 0..255.
        size_divisor (int): Sides of a label map must be multiples of this.
        checkpoint (str): The file that was loaded.
        places (list[str]): Folders of the config's data set, where nothing should be written.

    Raises:
        SLNPError: If a file is missing, the checkpoint does not fit, or the device is absent.
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
                    'both, the zoo model is used'
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
            config = Config.fromfile(check_file(config, 'config', 'runnable ones are configs/*.py'))
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        device = check_device(device)
        self.cfg, self.show_progress = config, show_progress

        # ignore the caller's default device and scope, and keep its random state
        scope = DefaultScope.overwrite_default_scope('mmagic')
        with scope, torch.device('cpu'), torch.random.fork_rng(devices=[]):
            stored = read_checkpoint(checkpoint)
            self.model = self._load_model(stored).to(device)
            self._init_rules(stored)

    @staticmethod
    def list_models() -> dict[str, str]:
        """Name and description of each model of the zoo, the default first."""
        return {name: model.about for name, model in zoo_models().items()}

    def __call__(
        self,
        inputs: Source | Sequence[Source],
        return_datasamples: bool = False,
        batch_size: int = 8,
        *,
        instances: Source | Sequence[Source] | None = None,
        num_samples: int = 1,
        seed: int | None = None,
        truncation: float = 1.0,
        noise: np.ndarray | Tensor | None = None,
        style: Source | None = None,
        resample: dict[int, int] | None = None,
        size: Size = None,
        return_stages: bool = False,
        return_attention: bool = False,
        out_dir: str | os.PathLike | None = None,
    ) -> dict[str, list]:
        """Generate images.

        A label map is one of

        - an array of classes, (H, W), integers 0..C-1, 255 = unlabelled (as in mmseg);
        - an array of colors, (H, W, 3), RGB, uint8, of :attr:`palette`, black = unlabelled;
        - a file, its bytes or a PIL image, of ids in the format of the config's data set, or of
          colors;
        - a folder of files, or a glob.

        Args:
            inputs: A label map, or a list of them.
            return_datasamples (bool): Return ``predictions`` as DataSample. Defaults to False.
            batch_size (int): Images per batch, >= 1. Defaults to 8.
            instances: Instance map of each label map, of the same size: a file, its bytes, an array
                or a PIL image of ids. Defaults to None: connected regions of a class are the
                instances.
            num_samples (int): Images per label map, >= 1. Defaults to 1.
            seed (int, optional): 0..2**32-1; image k of each label map uses the noise code of
                ``seed + k``. Defaults to None, which is 0.
            truncation (float): Scales the noise of a seed towards the average, [0, 1]: at 0 all
                images are the same. Not with noise or style. Defaults to 1.
            noise (ndarray | Tensor, optional): Instead of a seed: ``noise`` of an earlier
                prediction, or a mix of several; one for all images, or one per image.
            style: Instead of a seed: a real image, as for :func:`read_image`.
            resample (dict[int, int], optional): Seeds for single ids of :meth:`instances`; all
                other instances keep their codes. For one label map.
            size (int | tuple[int] | str, optional): Side, or height and width, to resize label and
                instances to first (nearest); 'config': as the config's test pipeline resizes.
                Defaults to None, the label map's own size.
            return_stages (bool): Also return the image of each stage. Defaults to False.
            return_attention (bool): Also return the refiners' weights (fig. 12). Defaults to False.
            out_dir (str | PathLike, optional): Folder to write images to, as ``NAME.png``, or
                ``NAME_K.png`` for several samples; arrays are named by their index in the list.

        Returns:
            dict[str, list]: One entry per image, grouped by label map.

            - ``visualization``: (H, W, 3), RGB, uint8.
            - ``predictions``: dicts with ``name`` (str); ``seed`` (int, None for a given noise);
              ``noise``, (D, h, w), float32; ``label`` (H, W), uint8; ``instances`` (H, W), int32,
              -1 = none; ``instance_labels`` (n, ), int64, the class of each instance; if requested,
              ``stages``, (h, w, 3), RGB, uint8, per stage, and ``attention``, (N_h, N_w, n),
              float32, per refiner. Or, with ``return_datasamples``, DataSamples on the CPU with
              ``fake_img`` and ``stage_imgs`` (BGR, 0..255), ``gt_sem_seg``, ``noise``,
              ``instances`` (K, H, W), ``instance_labels`` and, if requested, ``attention``;
              ``label_name`` and ``seed`` are metainfo.

        Raises:
            SLNPError: If an argument or a label map is not as described above.
        """
        entries = self._inputs_to_list(inputs)
        names = [name for name, _ in entries]
        if out_dir is not None and len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise SLNPError(
                f'two label maps are named {twice}: generate one by one, or leave out_dir out'
            )
        if not all(isinstance(n, Integral) and n >= 1 for n in (num_samples, batch_size)):
            raise SLNPError(
                'num_samples and batch_size must be whole numbers of at least 1, but got '
                f'{num_samples} and {batch_size}'
            )
        num_samples, batch_size = int(num_samples), int(batch_size)
        count = len(entries) * num_samples
        # mixed precision of the caller would change the images
        with torch.no_grad(), torch.autocast(self.model.device.type, enabled=False):
            seeds, codes = self._codes(count, num_samples, seed, truncation, noise, style)
            resample = {k: self._seed_code(s, truncation) for k, s in (resample or {}).items()}
            batches = self._batches(
                entries, codes, batch_size, instances, resample, size, return_attention
            )
            total = math.ceil(count / batch_size)
            if self.show_progress and total > 1:
                batches = track(batches, 'Generating', total)
            samples = [sample for batch in batches for sample in self._generate(batch)]
        for sample, one in zip(samples, seeds):
            sample.set_metainfo(dict(seed=one))
        images = [_rgb(sample.fake_img) for sample in samples]
        if out_dir is not None:
            numbers = range(num_samples) if num_samples > 1 else [None]
            files = [image_name(name, k) for name in names for k in numbers]
            for file, image in zip(files, images):
                write_image(os.path.join(out_dir, file), image)
        if not return_datasamples:
            samples = [_plain(sample, return_stages) for sample in samples]
        return dict(predictions=samples, visualization=images)

    # For painters

    def read_label(self, source: Source, where: str | None = None) -> np.ndarray:
        """Read one label map, as in a call, as (H, W), uint8; see :meth:`LabelCodec.read`."""
        return self.dataset.codec.read(source, where, self.palette)

    def check_size(self, shape: Sequence[int], where: str) -> None:
        """Raise if the network cannot take a height and width; name the nearest that it can."""
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

    def instances(
        self, label: Source, instances: Source | None = None, size: Size = None
    ) -> np.ndarray:
        """Number the instances of a label map as ``resample`` names them; arguments as in a call.

        Returns:
            ndarray: (H, W), int32, by decreasing area from 0; -1 = none. The smallest regions
            beyond the config's ``max_instances`` share an id with others of their class.
        """
        sample = self._read(self._inputs_to_list(label)[0], instances, size)
        return sample['instances'][0].numpy().astype(np.int32)

    # Loading

    def _load_model(self, stored: dict) -> nn.Module:
        """Build and load only the generator and its prior."""
        model = MODELS.build(copy.deepcopy(sampling_config(self.cfg.model))).float()
        if not hasattr(model, 'noise_fn'):
            raise SLNPError(
                f'{self.cfg.filename} is not the config of a GAN; use configs/slnp_*.py'
            )
        state = sampling_state(stored.get('state_dict', stored))
        check_state(dict(stored, state_dict=state), model, self.checkpoint)
        model.load_state_dict({key: state[key] for key in model.state_dict()})
        return model.eval()

    def _init_rules(self, stored: dict) -> None:
        """Set up the label rules and the test pipeline after its loading steps."""
        datasets = build_rules(self.cfg.test_dataloader.dataset)
        self.dataset = datasets[0]
        self.dataset.make_rules()
        check_classes(stored, self.dataset.metainfo, self.checkpoint)
        self.places = [place for dataset in datasets for place in places(dataset)]
        self.classes = self.dataset.metainfo['classes']
        self.palette = self.dataset.metainfo['palette']
        self.size_divisor = self.model.generator.size_divisor
        self._noise_shape = tuple(self.model.generator.noise_shape)

        self._loader = self.dataset.instance_loader or transforms.SLNPLoadInstances(
            source=self.dataset.source
        )
        steps = self.dataset.pipeline.transforms
        steps = [step for step in steps if type(step).__name__ not in SKIPPED]
        for step in steps:
            if isinstance(step, transforms.SLNPPackInputs):
                step.keys = PACKED
        sizes = [step.size for step in steps if isinstance(step, transforms.SLNPResize)]
        size = [*filter(None, sizes), self.dataset.image_size][0]
        if size is None:
            raise SLNPError(
                'the config has no image size: set image_size of test_dataloader.dataset'
            )
        self.image_size, self._steps = as_sides(size), steps

    # Batches

    def _inputs_to_list(self, inputs: Source | Sequence[Source]) -> list[tuple[str, Source]]:
        """Name and source of each label map."""
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

    def _batches(
        self,
        inputs: list[tuple[str, Source]],
        codes: Tensor,
        batch_size: int,
        instances: Source | Sequence[Source] | None,
        resample: dict[int, Tensor],
        size: Size,
        return_attention: bool,
    ) -> Iterator[dict]:
        """Yield batches of images of one size.

        ``codes``, (n, D, h, w), are the noise codes, grouped by label map; ``resample`` holds the
        codes of single instances.
        """
        maps = instances if isinstance(instances, (list, tuple)) else [instances]
        if len(maps) != len(inputs) and instances is not None:
            raise SLNPError(
                f'expected one instance map per label map ({len(inputs)}), but got {len(maps)}'
            )
        if resample and len(inputs) > 1:
            raise SLNPError(f'resample is for one label map, but got {len(inputs)}')
        if resample and not self.model.generator.instance_pathway:
            raise SLNPError('resample needs instances, but this model uses classes only')
        batch: list[dict] = []
        for k, code in enumerate(codes):
            index, again = divmod(k, len(codes) // len(inputs))
            if not again:
                sample = self._read(inputs[index], maps[index % len(maps)], size)
                count = int((sample['instance_labels'] >= 0).sum())
                for key in set(resample) - set(range(count)):
                    raise SLNPError(
                        f'no instance {key} to resample: the label map has {count}, '
                        f'0..{count - 1}; inferencer.instances(label) shows them'
                    )
            full = len(batch) == batch_size
            if batch and (full or batch[0]['label'].shape != sample['label'].shape):
                yield _collate(batch, resample, return_attention)
                batch = []
            batch.append(dict(sample, code=code))
        yield _collate(batch, resample, return_attention)

    def _generate(self, inputs: dict) -> list[DataSample]:
        """Generate a batch; the samples are on the CPU."""
        samples = self.model.test_step(inputs)
        for i, sample in enumerate(samples):
            for key, value in sample.items():
                value = [x.cpu() for x in value] if isinstance(value, list) else value.cpu()
                sample.set_field(value, key)
            for key in PACKED[1:]:
                sample.set_field(inputs['inputs'][key][i].long(), key)
        return samples

    def _read(self, entry: tuple[str, Source], instances: Source | None, size: Size) -> dict:
        """Read one label map into the tensors of the batch contract, with its name."""
        name, source = entry
        where = os.fspath(source) if isinstance(source, (str, os.PathLike)) else f'label map {name}'
        label = self.read_label(source, where)
        if isinstance(instances, (str, os.PathLike)):
            instances = str(check_file(instances, 'instance map', 'add it'))
        elif instances is not None and not isinstance(instances, np.ndarray):
            of = f'the instance map of {where}'
            instances = decode_ids(open_source(instances, of), of)
        results = dict(label=label, instance_path=instances, label_path=where, img_path=where)

        steps = self._steps
        if size != 'config':
            steps = [step for step in steps if not isinstance(step, transforms.SLNPResize)]
            if size is not None:
                steps = [transforms.SLNPResize(_sides(size)), *steps]
        sample = Compose([self._loader, *steps])(results | self.dataset.rules())['inputs']
        self.check_size(sample['label'].shape[-2:], where)
        return dict(sample, name=name)

    # Noise

    def _codes(
        self,
        count: int,
        num_samples: int,
        seed: int | None,
        truncation: float,
        noise: np.ndarray | Tensor | None,
        style: Source | None,
    ) -> tuple[list[int | None], Tensor]:
        """Seed and noise code, (count, D, h, w), of each image; see :meth:`__call__`."""
        given = dict(seed=seed, noise=noise, style=style)
        given = [name for name, value in given.items() if value is not None]
        if len(given) > 1:
            raise SLNPError(f'{" and ".join(given)} each set the noise: give one of them')
        if not (isinstance(truncation, Real) and 0 <= truncation <= 1):
            raise SLNPError(f'truncation must be from 0 to 1, but got {truncation}')
        if noise is None and style is None:
            seed = check_seed(0 if seed is None else seed, count=num_samples)
            seeds = list(range(seed, seed + num_samples))
            codes = torch.stack([self._seed_code(one, truncation) for one in seeds])
            labels = count // num_samples
            return seeds * labels, codes.repeat(labels, 1, 1, 1)

        if truncation < 1:
            raise SLNPError('truncation is for the noise of seeds: leave noise and style out')
        codes = self._style_code(style) if noise is None else self._given_code(noise, count)
        if len(codes) == 1 and num_samples > 1:
            raise SLNPError(
                f'{num_samples} samples of one {given[0]} would be the same image; leave '
                'num_samples out'
            )
        return [None] * count, codes.expand(count, -1, -1, -1)

    def _seed_code(self, seed: int, truncation: float) -> Tensor:
        """Noise code of a seed, (D, h, w); z is the same on every device.

        Codes are linear in z, so a shorter z is closer to their mean.
        """
        rng, shape = torch.Generator('cpu').manual_seed(check_seed(seed)), self._noise_shape
        z = torch.randn(1, *shape, generator=rng, dtype=torch.float32, device='cpu') * truncation
        return self.model.noise_fn(z.to(self.model.device))[0].cpu()

    def _given_code(self, noise: np.ndarray | Tensor, count: int) -> Tensor:
        """Check noise codes given to a call; (1 or count, D, h, w)."""
        if isinstance(noise, Tensor):
            noise = noise.detach().cpu().float()
        try:
            codes = torch.from_numpy(np.array(noise, np.float32, order='C'))
        except (TypeError, ValueError):
            raise SLNPError(f'noise must be an array of numbers, but got {noise!r:.80}') from None
        given = tuple(codes.shape)
        codes = codes[None] if codes.ndim == 3 else codes
        if codes.shape[1:] != self._noise_shape or len(codes) not in (1, count):
            raise SLNPError(
                f'expected noise of shape {self._noise_shape}, or {count} such, one per image, but '
                f'got {given}'
            )
        if not codes.isfinite().all():
            raise SLNPError('noise must be finite, but holds NaN or infinity')
        return codes

    def _style_code(self, style: Source) -> Tensor:
        """Noise code of a real image, (1, D, h, w)."""
        if self.model.noise_prior is None:
            raise SLNPError('style needs a noise prior, which this model (random noise) lacks')
        where = os.fspath(style) if isinstance(style, (str, os.PathLike)) else 'style'
        image = transforms.SLNPResize(self.image_size)(dict(img=read_image(style, where)))['img']
        image = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
        return self.model.style_code(image.to(self.model.device)).cpu()


def image_name(name: str, sample: int | None) -> str:
    """File name of sample k of a label map; ``sample`` is None if there is only one."""
    return f'{name}.png' if sample is None else f'{name}_{sample}.png'


def _sides(size: int | Sequence[int]) -> tuple[int, int]:
    """A caller's size as height and width."""
    try:
        return as_sides(tuple(map(operator.index, np.broadcast_to(size, 2).tolist())))
    except (TypeError, ValueError):
        text = f"size must be one side, (height, width) or 'config', but got {size!r}"
        raise SLNPError(text) from None


def _collate(batch: list[dict], resample: dict[int, Tensor], attention: bool) -> dict:
    """Stack samples into the input of ``test_step``."""
    inputs: dict[str, Any] = {
        key: torch.stack([one[key] for one in batch]) for key in (*PACKED, 'code')
    }
    codes = {k: code.expand(len(batch), *code.shape) for k, code in resample.items()}
    inputs['sample_kwargs'] = dict(return_attention=attention, resample=codes)
    samples = [DataSample(metainfo=dict(label_name=one['name'])) for one in batch]
    return dict(inputs=inputs, data_samples=samples)


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
