"""Any folder pair of images and label maps as a data set."""

import colorsys
import copy
import difflib
import inspect
import os
from collections.abc import Sequence

import torch
from mmagic.registry import DATASETS
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from ..errors import CorruptFileError, DataError
from .coco import find_image, read_coco
from .codec import LabelCodec
from .files import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    Suffix,
    as_suffixes,
    cut_suffix,
    list_files,
    one_form,
    read_bytes,
)
from .instances import InstanceSource
from .transforms import SLNPLoadImage, SLNPLoadInstances, SLNPLoadLabel

_WORDS = dict(img='image', label='label', instance='instance map')
SKIP_ADVICE = ', or set skip_corrupt=True of the data set to replace it'
_ORIENTATIONS = (None, 'ignore', 'images', 'both')
_SETTINGS = {
    key: sorted(inspect.signature(kind).parameters.keys() - {'num_classes'})
    for key, kind in dict(label=LabelCodec, instance=InstanceSource).items()
}
# names in mmseg, mmdet and mmengine, and their names here
_NAMES = {name: f'{key}=dict({name}=...)' for key, names in _SETTINGS.items() for name in names}
_NAMES |= dict(
    ignore_index='label=dict(unlabelled_ids=(255, ))',
    seg_map_suffix='label_suffix',
    classes='metainfo=dict(classes=(...))',
    palette='metainfo=dict(palette=[...])',
    img_dir='data_prefix=dict(img=...)',
    img_prefix='data_prefix=dict(img=...)',
    ann_dir='data_prefix=dict(label=...)',
    seg_prefix='data_prefix=dict(label=...)',
    split='ann_file, a list of names',
    filter_cfg='ann_file, a list of names',
    max_refetch='skip_corrupt=True',
)


@DATASETS.register_module()
class SLNPDataset(BaseDataset):
    """Images with label maps and, optionally, instance maps.

    Files are paired by their path below the folder, without suffix. The pipeline starts from paths,
    which ``SLNPLoadImage``, ``SLNPLoadLabel`` and ``SLNPLoadInstances`` read by the rules given
    here. Subclasses override the class constants.

    Args:
        data_root (str, optional): Folder that holds the others. ``~`` is the home folder in every
            path.
        split (str, optional): Replaces ``{split}`` in ``FOLDERS``; only for sets that have splits.
        data_prefix (dict, optional): Folders ``img``, ``label`` and, optionally, ``instance``,
            relative to ``data_root``.
        metainfo (dict, optional): ``classes`` (names, in id order) and ``palette`` (RGB triples,
            generated if missing).
        ann_file (str): Text file of the names to use, one per line, with or without suffix,
            relative to ``data_root``. Defaults to '', which uses all.
        img_suffix (str | Sequence[str], optional): Suffixes of images; case is ignored.
        label_suffix (str | Sequence[str], optional): Suffixes of label files.
        instance_suffix (str | Sequence[str], optional): Suffixes of instance files.
        label (dict, optional): Arguments of ``LabelCodec`` except ``num_classes``: the format of
            label files.
        instance (dict, optional): Arguments of ``InstanceSource`` except ``num_classes``. A
            ``json_file`` is relative to ``data_root``.
        image_size (int | tuple[int], optional): Side, or (height, width), for transforms without a
            size of their own, so that one setting changes it:
            ``train_dataloader.dataset.image_size``.
        exif_orientation (str, optional): What to do with images with an EXIF rotation:
            'images' rotates the image (labels were drawn on what a viewer shows), 'both' rotates
            image, label and instances (labels fit the stored pixels), 'ignore' rotates neither.
            Defaults to None: as 'ignore', but the check asks.
        skip_corrupt (bool): Log, count and replace an image that cannot be decoded, instead of
            stopping.
        pipeline (Sequence): Transforms. Defaults to none.
        indices (int | Sequence[int], optional): Use this part of the set.
        serialize_data (bool): See mmengine's ``BaseDataset``.
        test_mode (bool): See mmengine's ``BaseDataset``.
        lazy_init (bool): List the files on first use only.
        **unknown: Refused, with the name that mmseg's arguments have here.

    Raises:
        DataError: If the root, a folder or one side of a pair is missing, or an argument is unknown
            or contradicts another.
    """

    METAINFO: dict = dict()
    MMSEG_NAME: str | None = None
    LABEL: dict = dict()
    INSTANCE: dict = dict()
    DATA_ROOT = ''
    SPLIT: str | None = None
    FOLDERS = dict(img='images', label='labels')
    SUFFIXES = dict(img=IMAGE_SUFFIXES, label=LABEL_SUFFIXES, instance=LABEL_SUFFIXES)
    MISSING_ROOT = 'put the data there or set data_root in the config (docs/data.md)'

    def __init__(
        self,
        data_root: str | None = None,
        split: str | None = None,
        data_prefix: dict | None = None,
        metainfo: dict | None = None,
        ann_file: str = '',
        img_suffix: Suffix | None = None,
        label_suffix: Suffix | None = None,
        instance_suffix: Suffix | None = None,
        label: dict | None = None,
        instance: dict | None = None,
        image_size: int | tuple[int, int] | None = None,
        exif_orientation: str | None = None,
        skip_corrupt: bool = False,
        pipeline: Sequence = (),
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        test_mode: bool = False,
        lazy_init: bool = False,
        **unknown,
    ) -> None:
        if split is not None and self.SPLIT is None:
            unknown['split'] = split
        if unknown:
            self._refuse(unknown)
        if exif_orientation not in _ORIENTATIONS:
            raise DataError(
                f'exif_orientation must be one of {_ORIENTATIONS}, got {exif_orientation!r}'
            )
        if indices is not None and not indices:
            raise DataError(f'indices={indices!r} leaves no sample of the data set')

        # names and formats of the files
        suffixes = dict(img=img_suffix, label=label_suffix, instance=instance_suffix)
        self.suffixes = {
            key: as_suffixes(self.SUFFIXES[key] if value is None else value)
            for key, value in suffixes.items()
        }
        self._label_cfg = {**self.LABEL, **(label or {})}
        self._instance_cfg = {**self.INSTANCE, **(instance or {})}
        self._own_instance_cfg = instance or {}

        # how to read them; workers share the count
        self.image_size = image_size
        self.exif_orientation = exif_orientation
        self.skip_corrupt = skip_corrupt
        self._corrupt = torch.zeros(1, dtype=torch.int64).share_memory_()

        super().__init__(
            ann_file=os.path.expanduser(ann_file or ''),
            data_root=os.path.expanduser(self.DATA_ROOT if data_root is None else data_root),
            data_prefix=self._folders(split or self.SPLIT, data_prefix or {}),
            metainfo=self._fill_metainfo(metainfo),
            pipeline=copy.deepcopy(list(pipeline)),  # its loaders hold this set's rules
            indices=indices,
            serialize_data=serialize_data,
            test_mode=test_mode,
            lazy_init=lazy_init,
        )

    def _refuse(self, unknown: dict) -> None:
        """Raise for arguments that would be ignored."""
        known = inspect.signature(type(self)).parameters | inspect.signature(SLNPDataset).parameters
        known = [name for name in known if name not in ('args', 'kwargs', 'unknown')]
        texts = []
        for name in unknown:
            close = difflib.get_close_matches(name, known, 1)
            hint = _NAMES.get(name.lower(), close[0] if close else None)
            texts.append(f'{name} (use {hint})' if hint else name)
        raise DataError(
            f'{type(self).__name__} does not take {", ".join(texts)}; it takes {", ".join(known)}'
        )

    def _folders(self, split: str | None, given: dict) -> dict[str, str]:
        """Folder of each kind of file that the set has."""
        prefix = {key: folder.format(split=split) for key, folder in self.FOLDERS.items()}
        prefix.update(given)
        unknown = set(prefix) - set(_WORDS)
        if unknown:
            raise DataError(
                f'data_prefix takes the keys img, label and instance, got also {sorted(unknown)}; '
                "mmseg's img_path and seg_map_path are img and label here"
            )
        return {
            key: os.path.expanduser(folder or '')
            for key, folder in prefix.items()
            if folder or key != 'instance'
        }

    def _fill_metainfo(self, metainfo: dict | None) -> dict:
        """Add mmseg's names and a palette; check the lengths."""
        info = mmseg_metainfo(self.MMSEG_NAME) if self.MMSEG_NAME else {}
        info = {**info, **self.METAINFO, **(metainfo or {})}
        ignored = sorted(set(info) & {'reduce_zero_label', 'label_map', 'ignore_index'})
        if ignored:
            raise DataError(f'metainfo does not take {ignored[0]} (use {_NAMES[ignored[0]]})')
        classes = info.get('classes')
        if not classes or isinstance(classes, str):
            raise DataError(
                f'{type(self).__name__} needs the class names in id order: '
                f"metainfo=dict(classes=('sky', 'road', ...)), got {classes!r}"
            )
        info['classes'] = tuple(classes)
        palette = info.get('palette') or distinct_palette(len(classes))
        if len(palette) != len(classes):
            raise DataError(
                f'palette has {len(palette)} colors for {len(classes)} classes; give one RGB '
                'triple per class'
            )
        info['palette'] = [list(map(int, color)) for color in palette]
        return info

    def full_init(self) -> None:
        """Set up the file rules, then list the files."""
        if not self._fully_initialized:
            self.make_rules()
        super().full_init()

    def make_rules(self) -> None:
        """Build the label codec and instance source, and hand them to the pipeline's loaders."""
        num = len(self._metainfo['classes'])
        for key, cfg in (('label', self._label_cfg), ('instance', self._instance_cfg)):
            if unknown := sorted(cfg.keys() - _SETTINGS[key]):
                raise DataError(
                    f'{key}=dict(...) takes {", ".join(_SETTINGS[key])}, got {", ".join(unknown)}'
                )
        self._check_instance_settings()
        self.codec = LabelCodec(num, **self._label_cfg)
        cfg = dict(self._instance_cfg)
        if cfg.get('json_file'):
            cfg['json_file'] = os.path.join(self.data_root, os.path.expanduser(cfg['json_file']))
        self.source = InstanceSource(num_classes=num, **cfg)
        self.instance_loader = None
        for step in self.pipeline.transforms:
            if isinstance(step, SLNPLoadLabel):
                step.codec = self.codec
            elif isinstance(step, SLNPLoadInstances):
                step.source, self.instance_loader = self.source, step

    def _check_instance_settings(self) -> None:
        """Raise if a setting needs files that the set does not have."""
        own = {key for key, value in self._own_instance_cfg.items() if value not in (None, ())}
        json_file = self._instance_cfg.get('json_file')
        if json_file and 'instance' in self.data_prefix:
            raise DataError(
                f'instances come from the maps in {self.data_prefix["instance"]} or from '
                f'json_file {json_file}, not from both; leave json_file out, or set '
                "data_prefix=dict(instance='') (SLNPCOCOStuff: instances='json')"
            )
        if 'category_map' in own and not json_file:
            raise DataError('category_map is for a json_file, which is not set')
        lost = sorted(own & {'background_ids', 'background_below'})
        if lost and 'instance' not in self.data_prefix:
            raise DataError(
                f'{lost[0]} is for instance maps; set their folder: data_prefix=dict(instance=...)'
            )

    def load_data_list(self) -> list[dict]:
        """List the samples; a DataError if a folder or partner file is missing."""
        found = self.find_all()
        problems = self.unpaired(found)
        if problems:
            raise DataError(problems[0])
        return self.samples(found)

    def find_all(self) -> dict[str, dict[str, str]]:
        """Find the files of every kind that the set has."""
        found = {key: self.find_files(key) for key in self.data_prefix}
        for key in found.keys() - {'img'}:
            if os.path.samefile(self.data_prefix['img'], self.data_prefix[key]):
                self._tell_apart(found['img'], found[key], key)
        if not self.ann_file:
            return found
        names = self._listed(found['img'])
        return {
            key: {name: files[name] for name in names if name in files}
            for key, files in found.items()
        }

    def _tell_apart(self, images: dict[str, str], others: dict[str, str], key: str) -> None:
        """Let the longer suffix decide the kind of a file where two kinds share a folder."""
        names = {
            os.path.relpath(path, self.data_prefix[key]): name for name, path in others.items()
        }
        for name, path in list(images.items()):
            other = names.get(os.path.relpath(path, self.data_prefix['img']), '')
            if len(name) == len(other):
                raise DataError(
                    f'{self.data_prefix["img"]} is the folder of both images and {_WORDS[key]}s, '
                    f'and {path} would be both; set img_suffix and {key}_suffix to tell them '
                    f"apart, for example img_suffix='.jpg', {key}_suffix='_mask.png'"
                )
            if other and len(other) < len(name):
                del images[name]
            elif other:
                del others[other]

    def _listed(self, images: dict[str, str]) -> list[str]:
        """Names in ``ann_file``, as :func:`list_files` spells them."""
        if not os.path.isfile(self.ann_file):
            raise DataError(f'no list of names at {self.ann_file}; check ann_file in the config')
        text = os.fsdecode(read_bytes(self.ann_file).removeprefix(b'\xef\xbb\xbf'))
        names: dict[str, int] = {}
        for number, line in enumerate(text.split('\n'), 1):
            line = line.strip()
            if not line:
                continue
            name = self._name_of(line, images)
            if name is None or name in names:
                problem = f'is no image in {self.data_prefix["img"]}'
                if name:
                    problem = f'is already in line {names[name]}'
                raise DataError(
                    f'{self.ann_file}, line {number}: {line} {problem}; expected one name per '
                    f'line, with or without suffix, for example {min(images)}'
                )
            names[name] = number
        if not names:
            raise DataError(f'{self.ann_file} holds no name; expected one per line')
        return list(names)

    def _name_of(self, line: str, images: dict[str, str]) -> str | None:
        """Name of the image that a line of ``ann_file`` means; None if there is none."""
        line = os.path.normpath(one_form(line.replace('\\', '/')))
        below = os.path.relpath(os.path.join(self.data_root, line), self.data_prefix['img'])
        for name in (line, below):
            for suffixes in (('',), self.suffixes['img'], self.suffixes['label']):
                stem = cut_suffix(name, suffixes)
                if stem in images:
                    return stem
        return None

    def samples(self, found: dict[str, dict[str, str]]) -> list[dict]:
        """Complete samples among the files found, sorted by name.

        Returns:
            list[dict]: ``name`` (see :meth:`find_files`), ``img_path``, ``label_path`` and, for
            instances, ``instance_path`` or ``coco``, the JSON's entries for the image (kept in the
            serialized list, whose memory workers share).
        """
        stems = sorted(set.intersection(*map(set, found.values())))
        samples = [
            dict(name=stem) | {f'{key}_path': files[stem] for key, files in found.items()}
            for stem in stems
        ]
        if self.source.json_file and self.instance_loader:
            images = read_coco(self.source.json_file)
            for sample in samples:
                sample['coco'] = find_image(images, sample['img_path'])
        return samples

    def chosen(self, samples: list[dict]) -> list[dict]:
        """The samples that ``indices`` selects."""
        if self._indices is None:
            return samples
        if isinstance(self._indices, int):
            return samples[: self._indices] if self._indices >= 0 else samples[self._indices :]
        return [samples[i] for i in self._indices]

    def find_files(self, key: str) -> dict[str, str]:
        """Find the files of one kind, 'img', 'label' or 'instance': path by name.

        The name is the path below the folder without suffix, as used for pairing.

        Raises:
            DataError: If the folder is missing or holds no such file.
        """
        if self.data_root and not os.path.isdir(self.data_root):
            raise DataError(
                f'data root {self.data_root} not found; '
                + self.MISSING_ROOT.format(root=self.data_root)
            )
        folder = self.data_prefix[key]
        if not os.path.isdir(folder):
            raise DataError(
                f'{key} folder {folder} not found; check data_root and data_prefix in the config'
            )
        files, other = list_files(folder, self.suffixes[key])
        if not files:
            there = ', '.join(f'{n} {end}' for end, n in other.most_common(3))
            raise DataError(
                f'no {key} file ending in {" or ".join(self.suffixes[key])} in {folder}, which '
                f'holds {there or "no file at all"}; set {key}_suffix or data_prefix in the config'
            )
        return files

    def unpaired(self, found: dict[str, dict[str, str]]) -> list[str]:
        """One sentence per file without a partner, or one if no name pairs at all."""
        texts = []
        for kind in [key for key in found if key != 'img']:
            if found[kind] and set(found['img']).isdisjoint(found[kind]):
                texts.append(self._strangers(found, kind))
                continue
            for one, other in (('img', kind), (kind, 'img')):
                lonely = sorted(set(found[one]) - set(found[other]))
                count = f'{len(lonely)} such file{"s" * (len(lonely) > 1)}'
                texts += [
                    f'{_WORDS[one]} {found[one][stem]} has no {_WORDS[other]} in '
                    f'{self.data_prefix[other]} ({count}); add it or remove the {_WORDS[one]}'
                    for stem in lonely
                ]
        return texts

    def _strangers(self, found: dict[str, dict[str, str]], kind: str) -> str:
        """Report that no names match, with a hint at the suffix."""
        image, other = min(found['img']), min(found[kind])
        hint = ''
        for key, long, short in ((kind, other, image), ('img', image, other)):
            if long.startswith(short):
                ending = os.path.splitext(found[key][long])[1]
                hint = f": {key}_suffix='{long[len(short) :]}{ending}'"
        return (
            f'none of the {len(found["img"])} images in {self.data_prefix["img"]} has a partner of '
            f'the same name in {self.data_prefix[kind]}, whose first file is '
            f'{os.path.relpath(found[kind][other], self.data_prefix[kind])}; rename the files, or '
            f'set img_suffix and {kind}_suffix to what follows the common part of the names{hint}'
        )

    @property
    def num_corrupt(self) -> int:
        """Samples replaced so far by ``skip_corrupt``, over all workers."""
        return int(self._corrupt)

    def prepare_data(self, idx: int) -> dict:
        """Run the pipeline on one sample, replacing it if it is corrupt.

        Raises:
            CorruptFileError: If the sample cannot be decoded and ``skip_corrupt`` is off, or no
                sample can be decoded.
            IndexError: If the index is out of range, which ends a loop over the data set.
        """
        if not -len(self) <= idx < len(self):
            raise IndexError(f'the data set has {len(self)} samples, got index {idx}')
        for step in range(len(self)):
            try:
                return self.pipeline(self.get_data_info((idx + step) % len(self)) | self.rules())
            except CorruptFileError as error:
                if not self.skip_corrupt:
                    raise CorruptFileError(f'{error}{SKIP_ADVICE}') from error
                self._corrupt += 1
                print_log(
                    f'skip_corrupt: replaced a sample, {self.num_corrupt} so far: {error}',
                    logger='current',
                    level=30,
                )
        raise CorruptFileError(
            f'none of the {len(self)} samples of {self.data_root} can be decoded'
        )

    def load_files(self, info: dict) -> dict:
        """Read a sample's image, label and instances at full size, without transforms."""
        results = info | self.rules() | dict(image_size=None)
        for step in (
            SLNPLoadImage(),
            SLNPLoadLabel(self.codec),
            self.instance_loader or SLNPLoadInstances(source=self.source),
        ):
            results = step(results)
        return results

    def rules(self) -> dict:
        """Settings that the transforms read besides a sample's paths."""
        return dict(
            palette=self._metainfo['palette'],
            image_size=self.image_size,
            exif_orientation=self.exif_orientation,
        )


def mmseg_metainfo(name: str) -> dict:
    """``classes`` and ``palette`` (RGB) of an mmseg data set, by class name."""
    import mmseg.datasets

    return getattr(mmseg.datasets, name).METAINFO


def distinct_palette(num: int) -> list[list[int]]:
    """Generate ``num`` RGB colors, 0..255, that are easy to tell apart; distinct up to 255."""
    colors = []
    for i in range(num):
        hue = i * 0.61803398875 % 1.0
        value = (0.95, 0.7, 0.5)[i // 7 % 3]
        rgb = colorsys.hsv_to_rgb(hue, (0.75, 0.45)[i // 21 % 2], value)
        colors.append([int(round(255 * c)) for c in rgb])
    return colors
