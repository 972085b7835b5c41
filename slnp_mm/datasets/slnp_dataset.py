"""Any folder pair of pictures and label maps as a data set."""

import inspect
import os
from collections import Counter
from collections.abc import Sequence

import torch
from mmagic.registry import DATASETS
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from .class_tables import distinct_palette, mmseg_metainfo
from .errors import CorruptFileError, DataError
from .instance_source import InstanceSource
from .label_codec import LabelCodec

Suffix = str | Sequence[str]
_WORDS = dict(img='image', label='label', instance='instance map')


@DATASETS.register_module()
class SLNPDataset(BaseDataset):
    """Pictures with label maps and, optionally, instance maps.

    Files are paired by their path below the folder, without suffix. The
    pipeline starts from paths; ``SLNPLoadImage``, ``SLNPLoadLabel`` and
    ``SLNPLoadInstances`` read them by the rules given here.

    Args:
        data_root (str): Folder that holds the others. Defaults to ''.
        data_prefix (dict): Folders ``img``, ``label`` and, optionally,
            ``instance``, relative to ``data_root``.
        metainfo (dict, optional): ``classes`` (names, in the order of the
            ids) and ``palette`` (RGB triples, made up if missing).
        img_suffix (str | Sequence[str]): Endings of pictures; upper and
            lower case are alike.
        label_suffix (str | Sequence[str]): Endings of label files.
        instance_suffix (str | Sequence[str]): Endings of instance files.
        label (dict, optional): Arguments of ``LabelCodec`` but
            ``num_classes``: how label files are written.
        instance (dict, optional): Arguments of ``InstanceSource`` but
            ``num_classes``. A ``json_file`` is relative to ``data_root``.
        image_size (int | tuple[int], optional): Side, or (height, width),
            that transforms without a size of their own use, so that one
            setting changes it: ``train_dataloader.dataset.image_size``.
        skip_corrupt (bool): Log, count and replace a picture that cannot
            be decoded, instead of stopping. Defaults to False.
        **kwargs: ``pipeline``, ``indices``, ``test_mode``, ``lazy_init``
            and the rest of mmengine's ``BaseDataset``.

    Raises:
        DataError: If the root, a folder or one side of a pair is missing.
    """

    METAINFO: dict = dict()
    MMSEG_NAME: str | None = None
    LABEL: dict = dict()
    INSTANCE: dict = dict()

    def __init__(
        self,
        data_root: str = '',
        data_prefix: dict | None = None,
        metainfo: dict | None = None,
        img_suffix: Suffix = ('.jpg', '.jpeg', '.png'),
        label_suffix: Suffix = '.png',
        instance_suffix: Suffix = '.png',
        label: dict | None = None,
        instance: dict | None = None,
        image_size: int | tuple[int, int] | None = None,
        skip_corrupt: bool = False,
        **kwargs,
    ) -> None:
        self.suffixes = dict(
            img=_as_tuple(img_suffix),
            label=_as_tuple(label_suffix),
            instance=_as_tuple(instance_suffix),
        )
        self.image_size = image_size
        self.skip_corrupt = skip_corrupt
        self._corrupt = torch.zeros(1, dtype=torch.int64).share_memory_()
        prefix = dict(img='images', label='labels', instance='')
        prefix.update(data_prefix or {})
        unknown = set(prefix) - {'img', 'label', 'instance'}
        if unknown:
            raise DataError(
                f'data_prefix has the keys img, label and instance, got also {sorted(unknown)}'
            )
        self._label_cfg = {**self.LABEL, **(label or {})}
        self._instance_cfg = {**self.INSTANCE, **(instance or {})}
        self._has_instances = bool(prefix['instance'])
        super().__init__(
            data_root=data_root,
            data_prefix=prefix,
            metainfo=self._fill_metainfo(metainfo),
            **{'lazy_init': False, **kwargs},
        )

    def _fill_metainfo(self, metainfo: dict | None) -> dict:
        """Add names from mmseg and a palette; check their lengths."""
        info = mmseg_metainfo(self.MMSEG_NAME) if self.MMSEG_NAME else {}
        info = {**info, **self.METAINFO, **(metainfo or {})}
        classes = info.get('classes')
        if not classes or isinstance(classes, str):
            raise DataError(
                f'{type(self).__name__} needs the class names in id order: '
                "metainfo=dict(classes=('sky', 'road', ...)), got "
                f'{classes!r}'
            )
        info['classes'] = tuple(classes)
        palette = info.get('palette') or distinct_palette(len(classes))
        if len(palette) != len(classes):
            raise DataError(
                f'palette has {len(palette)} colours for '
                f'{len(classes)} classes; give one RGB triple '
                'a class'
            )
        info['palette'] = [list(map(int, colour)) for colour in palette]
        return info

    def full_init(self) -> None:
        """Set up the file rules, then list the files."""
        if not self._fully_initialized:
            self.make_rules()
        super().full_init()

    def make_rules(self) -> None:
        """Make the label codec and the instance source."""
        num = len(self._metainfo['classes'])
        _check_keys('label', self._label_cfg, LabelCodec)
        _check_keys('instance', self._instance_cfg, InstanceSource)
        self.codec = LabelCodec(num, **self._label_cfg)
        cfg = dict(self._instance_cfg)
        if cfg.get('json_file'):
            cfg['json_file'] = os.path.join(self.data_root, cfg['json_file'])
        self.source = InstanceSource(num_classes=num, **cfg)

    def load_data_list(self) -> list[dict]:
        """List the samples, sorted by name.

        Returns:
            list[dict]: ``img_path``, ``label_path`` and ``instance_path``
            ('' if there is none) of each.

        Raises:
            DataError: If a folder or a partner file is missing.
        """
        found = self.find_all()
        problems = self.unpaired(found)
        if problems:
            raise DataError(problems[0])
        return self.samples(found)

    def find_all(self) -> dict[str, dict[str, str]]:
        """Find the files of every kind that the set has."""
        kinds = ['img', 'label'] + ['instance'] * self._has_instances
        return {key: self.find_files(key) for key in kinds}

    def samples(self, found: dict[str, dict[str, str]]) -> list[dict]:
        """Complete samples among the files found, sorted by name."""
        stems = set.intersection(*map(set, found.values()))
        return [
            dict(
                img_path=found['img'][stem],
                label_path=found['label'][stem],
                instance_path=found['instance'][stem] if self._has_instances else '',
            )
            for stem in sorted(stems)
        ]

    def find_files(self, key: str) -> dict[str, str]:
        """Find the files of one kind.

        Args:
            key (str): 'img', 'label' or 'instance'.

        Returns:
            dict[str, str]: From the name without folder and suffix, as
            used for pairing, to the path.

        Raises:
            DataError: If the folder is missing or holds no such file.
        """
        if self.data_root and not os.path.isdir(self.data_root):
            raise DataError(
                f'data root {self.data_root} not found; put the data there '
                'or set data_root in the config (docs/data.md)'
            )
        folder = self.data_prefix[key]
        if not os.path.isdir(folder):
            raise DataError(
                f'{key} folder {folder} not found; check data_root and data_prefix in the config'
            )
        suffixes = self.suffixes[key]
        files: dict[str, str] = {}
        other: Counter = Counter()
        for parent, _, names in os.walk(folder, followlinks=True):
            below = os.path.relpath(parent, folder)
            for name in names:
                low = name.lower()
                suffix = next((s for s in suffixes if low.endswith(s)), None)
                if suffix is None:
                    other[os.path.splitext(low)[1] or name] += 1
                    continue
                stem = os.path.normpath(os.path.join(below, name[: -len(suffix)]))
                if stem in files:
                    raise DataError(
                        f'{files[stem]} and {os.path.join(parent, name)} '
                        'have one name; remove one or narrow the suffix'
                    )
                files[stem] = os.path.join(parent, name)
        if not files:
            there = ', '.join(f'{n} {end}' for end, n in other.most_common(3))
            raise DataError(
                f'no {key} file ending in {" or ".join(suffixes)} in {folder}'
                f', which holds {there or "no file at all"}; set {key}_suffix '
                'or data_prefix in the config'
            )
        return files

    def unpaired(self, found: dict[str, dict[str, str]]) -> list[str]:
        """Say which files lack their partner, one sentence a file.

        If no name at all is found on both sides, one sentence says so.
        """
        texts = []
        for kind in [key for key in found if key != 'img']:
            if set(found['img']).isdisjoint(found[kind]):
                texts.append(self._strangers(found, kind))
                continue
            for one, other in (('img', kind), (kind, 'img')):
                lonely = sorted(set(found[one]) - set(found[other]))
                count = f'{len(lonely)} such file{"s" * (len(lonely) > 1)}'
                texts += [
                    f'{_WORDS[one]} {found[one][stem]} has no {_WORDS[other]} '
                    f'in {self.data_prefix[other]} ({count}); add it or '
                    f'remove the {_WORDS[one]}'
                    for stem in lonely
                ]
        return texts

    def _strangers(self, found: dict[str, dict[str, str]], kind: str) -> str:
        """Say that no name is found on both sides, and why perhaps."""
        image, other = min(found['img']), min(found[kind])
        ending = os.path.splitext(found[kind][other])[1]
        hint = ''
        if other.startswith(image):
            hint = f": {kind}_suffix='{other[len(image) :]}{ending}'"
        elif image.startswith(other):
            ending = os.path.splitext(found['img'][image])[1]
            hint = f": img_suffix='{image[len(other) :]}{ending}'"
        return (
            f'none of the {len(found["img"])} images in '
            f'{self.data_prefix["img"]} has a partner of its name in '
            f'{self.data_prefix[kind]}, whose first file is '
            f'{os.path.relpath(found[kind][other], self.data_prefix[kind])}; '
            f'rename the files, or set img_suffix and {kind}_suffix to what '
            f'follows the common part of the names{hint}'
        )

    @property
    def num_corrupt(self) -> int:
        """Samples replaced so far by ``skip_corrupt``, over all workers."""
        return int(self._corrupt)

    def prepare_data(self, idx: int) -> dict:
        """Run the pipeline on one sample, replacing it if it is corrupt.

        Args:
            idx (int): Index of the sample.

        Returns:
            dict: What the pipeline returns.

        Raises:
            CorruptFileError: If the sample cannot be decoded and
                ``skip_corrupt`` is off, or no sample can be.
            IndexError: If there is no such sample, which ends a loop over
                the data set.
        """
        if not -len(self) <= idx < len(self):
            raise IndexError(f'the data set has {len(self)} samples, got index {idx}')
        for step in range(len(self)):
            try:
                return self._run_pipeline((idx + step) % len(self))
            except CorruptFileError as error:
                if not self.skip_corrupt:
                    raise
                self._corrupt += 1
                print_log(
                    f'skip_corrupt: replaced a sample, {self.num_corrupt} so far: {error}',
                    logger='current',
                    level=30,
                )
        raise CorruptFileError(
            f'not one of the {len(self)} samples of {self.data_root} can be decoded'
        )

    def _run_pipeline(self, idx: int) -> dict:
        """Run the pipeline on one sample."""
        info = self.get_data_info(idx)
        info.update(
            label_codec=self.codec,
            instance_source=self.source,
            palette=self._metainfo['palette'],
            image_size=self.image_size,
        )
        return self.pipeline(info)


def _as_tuple(suffix: Suffix) -> tuple:
    """One suffix or several as a tuple, lower case, longest first."""
    suffixes = (suffix,) if isinstance(suffix, str) else tuple(suffix)
    return tuple(sorted(map(str.lower, suffixes), key=len, reverse=True))


def _check_keys(name: str, settings: dict, kind: type) -> None:
    """Raise if settings hold a key that the class does not take."""
    known = set(inspect.signature(kind).parameters) - {'num_classes'}
    unknown = set(settings) - known
    if unknown:
        raise DataError(
            f'{name}=dict(...) takes {", ".join(sorted(known))}, got {", ".join(sorted(unknown))}'
        )
