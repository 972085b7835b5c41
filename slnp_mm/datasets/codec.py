"""Map any label file to class indices 0..C-1 and 255 = unlabelled."""

import os
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from ..errors import DataError
from .files import Source, decode_ids, id24, open_source

UNLABELLED = 255
_TABLE_SIZE = 65536
_NONE = -1  # no class


class LabelCodec:
    """Map the ids or colors of a data set's label files to class indices 0..C-1 and 255.

    Args:
        num_classes (int): C, 1..255.
        unlabelled_ids (Sequence[int], optional): Ids in the file that mean "unlabelled". With
            ``reduce_zero_label``, 0 and 255 always do. Defaults to (255, ), or to none if
            ``label_map`` has 255.
        reduce_zero_label (bool): 0 is unlabelled and class c is stored as c + 1, as in ADE20K.
        label_map (dict[int, int], optional): From id in the file to class index, 255 = unlabelled.
            All ids not in it or in ``unlabelled_ids`` are errors.
        colors (Sequence, optional): RGB triples, 0..255, one per class, if label files are color
            images; palette files are then read by their colors.
        unlabelled_colors (Sequence): RGB triples that mean "unlabelled".

    Raises:
        DataError: If the settings contradict each other.
    """

    def __init__(
        self,
        num_classes: int,
        unlabelled_ids: Sequence[int] | None = None,
        reduce_zero_label: bool = False,
        label_map: dict[int, int] | None = None,
        colors: Sequence | None = None,
        unlabelled_colors: Sequence = (),
    ) -> None:
        most = UNLABELLED - reduce_zero_label
        if not 1 <= num_classes <= most:
            raise DataError(
                f'the number of classes must be 1..{most} (255 is reserved for unlabelled), got '
                f'{num_classes}'
            )
        if label_map is not None and reduce_zero_label:
            raise DataError(
                'give label_map or reduce_zero_label, not both: the map can send 0 to 255 itself'
            )
        if colors is None and len(unlabelled_colors):
            raise DataError('unlabelled_colors needs colors=[...], one RGB triple per class')
        rules = dict(
            label_map=label_map,
            reduce_zero_label=reduce_zero_label or None,
            unlabelled_ids=unlabelled_ids,
        )
        for name, value in rules.items():
            if colors is not None and value is not None:
                raise DataError(
                    f'label files hold colors or ids: give colors or {name}, not both '
                    '(unlabelled_colors are the colors that mean unlabelled)'
                )
        self.num_classes = num_classes
        self.reads_colors = colors is not None
        self.label_map = None if label_map is None else self._map(label_map)
        self.unlabelled_ids = self._unlabelled(unlabelled_ids)
        self._first = int(reduce_zero_label)
        self._nothing = sorted({*self.unlabelled_ids, *((0, UNLABELLED) if self._first else ())})

        # class of each value in the files, an id or a color's code
        if self.reads_colors:
            self._values = self._color_values(colors, unlabelled_colors)
        else:
            pairs = self.label_map or {c + self._first: c for c in range(num_classes)}
            self._values = {**pairs, **dict.fromkeys(self._nothing, UNLABELLED)}
            self._table = np.full(_TABLE_SIZE + 1, _NONE, np.int16)
            self._table[[*self._values]] = [*self._values.values()]

    def _map(self, label_map: dict) -> dict[int, int]:
        """Convert to whole numbers; raise if the map leaves 0..C-1 and 255."""
        if not isinstance(label_map, dict) or not label_map:
            raise DataError(
                f'label_map must send ids to classes, for example {{7: 0, 8: 1}}, got {label_map!r}'
            )
        ids = _file_ids('label_map', label_map)
        found = dict(zip(ids, whole('label_map', [*label_map.values()])))
        for raw, cls in found.items():
            if not (0 <= cls < self.num_classes or cls == UNLABELLED):
                raise DataError(
                    f'label_map sends id {raw} to {cls}, but the allowed '
                    f'range is 0..{self.num_classes - 1} or 255'
                )
        return found

    def _unlabelled(self, given: Sequence[int] | None) -> tuple[int, ...]:
        """Ids that mean unlabelled; raise if ``label_map`` contradicts."""
        classes = self.label_map or {}
        if given is None:
            return () if UNLABELLED in classes else (UNLABELLED,)
        ids = _file_ids('unlabelled_ids', given)
        for one in ids:
            if classes.get(one, UNLABELLED) != UNLABELLED:
                raise DataError(
                    f'label_map sends id {one} to class {classes[one]}, but unlabelled_ids has it '
                    'too; leave it out of one of them'
                )
        return ids

    def _color_values(self, colors: Sequence, unlabelled: Sequence) -> dict[int, int]:
        """Class of each color's code, see :func:`id24`."""
        if len(colors) != self.num_classes:
            raise DataError(
                f'colors must have one RGB triple per class ({self.num_classes}), got {len(colors)}'
            )
        triples = np.asarray(list(colors) + list(unlabelled), np.int64)
        if triples.ndim != 2 or triples.shape[1] != 3 or triples.min() < 0 or triples.max() > 255:
            raise DataError(f'colors must be RGB triples of 0..255, got shape {triples.shape}')
        classes = [*range(len(colors)), *[UNLABELLED] * len(unlabelled)]
        values = dict(zip(id24(triples).tolist(), classes))
        if len(values) < len(triples):
            raise DataError(
                'two classes share one RGB color; label files coded by color need distinct ones'
            )
        return values

    def read(self, source: Source, where: str | None = None, palette: Sequence = ()) -> np.ndarray:
        """Read a label map as classes.

        Args:
            source: A file, its bytes or a PIL image in the data set's format; or an array: classes
                (H, W), integers 0..C-1 and 255, or colors (H, W, 3), RGB, uint8.
            where (str, optional): Its name in error texts. Defaults to its path.
            palette (Sequence): RGB of each class, black = unlabelled, to read colors where the data
                set's files hold ids. Defaults to none: colors are refused.

        Returns:
            ndarray: (H, W), uint8, 0..C-1 or 255.

        Raises:
            DataError: If it cannot be read, or an id or color belongs to no class.
        """
        named = isinstance(source, (str, os.PathLike))
        where = where or (os.fspath(source) if named else 'the label map')
        if isinstance(source, np.ndarray):
            if source.ndim == 3:
                return self._by_palette(source, where, palette)
            return self._check_classes(source, where)
        source = open_source(source, where)
        raw = decode_ids(source, where, self.reads_colors)
        if self.reads_colors or not len(palette):
            return self(raw, where)

        # ids in equal channels, or colors; a palette file has both, and they must agree
        colors = decode_ids(source, where, colors=True)
        listed = {0, *id24(np.asarray(palette))}
        known = colors.ndim == 3 and listed.issuperset(np.unique(id24(colors[..., :3])))
        if raw.ndim == 3:
            grey = (raw[..., :1] == raw[..., :3]).all()
            return self(raw, where) if grey and not known else self._by_palette(raw, where, palette)
        if not known:
            return self(raw, where)
        by_color = self._by_palette(colors, where, palette)
        try:
            by_index = self(raw, where)
        except DataError:
            return by_color
        if not np.array_equal(by_color, by_index):
            raise DataError(
                f'{where} is a palette file whose indices and colors name different classes; save '
                'it as a grey PNG of ids, or as RGB'
            )
        return by_index

    def _check_classes(self, label: np.ndarray, where: str) -> np.ndarray:
        """Check an array of classes; return it as uint8."""
        if label.ndim != 2 or label.dtype.kind not in 'iu' or not label.size:
            raise DataError(
                f'{where}: expected integers (H, W) or RGB colors (H, W, 3), but got '
                f'{label.dtype} of shape {label.shape}'
            )
        ids = np.unique(label)
        wrong = ids[((ids < 0) | (ids >= self.num_classes)) & (ids != UNLABELLED)]
        if len(wrong):
            raise DataError(
                f'{where}: an array holds classes 0..{self.num_classes - 1} and 255 = unlabelled, '
                f'but got {wrong[0]}; give the path of a label file to read it in the format of '
                'its data set'
            )
        return label.astype(np.uint8)

    def _by_palette(self, colors: np.ndarray, where: str, palette: Sequence) -> np.ndarray:
        """Classes, (H, W), uint8, of RGB(A) colors; raise where two classes share the color."""
        if colors.shape[-1] not in (3, 4) or colors.dtype != np.uint8 or not colors.size:
            raise DataError(
                f'{where}: expected RGB colors (H, W, 3), uint8, but got {colors.dtype} of shape '
                f'{colors.shape}'
            )
        known = id24(np.reshape(palette, (-1, 3))).tolist()
        single = {code: i if known.count(code) == 1 else _NONE for i, code in enumerate(known)}
        hint = (
            'a label map has the exact colors of the palette (no JPEG, no antialiased edges), or '
            'ids in one channel'
        )
        return _by_color(colors, {0: UNLABELLED, **single}, where, hint)

    def __call__(self, raw: np.ndarray, path: str) -> np.ndarray:
        """Map ids (H, W) or colors (H, W, 3), as :func:`decode_ids` returns them, to classes."""
        if self.reads_colors:
            return self._decode_colors(raw, path)
        if raw.ndim != 2:
            text = f'{path} is an RGB label of shape {raw.shape}, expected ids in one channel; '
            if (raw[..., :1] == raw[..., :3]).all():
                hint = (
                    'likely cause: its channels are equal, so ids were saved as a color image: '
                    'save one channel as grey PNG'
                )
            else:
                hint = (
                    'set label=dict(colors=[...]) in the config, or save it as grey or palette PNG'
                )
            raise DataError(text + hint)
        if raw.dtype == np.uint8:
            label = cv2.LUT(raw, self._table[:256])
        else:
            label = self._table[np.where((raw >= 0) & (raw < _TABLE_SIZE), raw, _TABLE_SIZE)]
        if label.min() == _NONE:
            raise DataError(self._misfit(raw, path))
        return label.astype(np.uint8)

    def encode(self, label: np.ndarray) -> np.ndarray:
        """Convert classes to the ids or colors of the data set's files, the inverse of a call.

        Returns:
            ndarray: Ids (H, W), uint8 or uint16, the lowest where a class has several; or colors
            (H, W, 3), RGB, uint8.

        Raises:
            DataError: If the files have no id or color for a class, or for unlabelled.
        """
        table = np.full(256, _NONE)
        for value, cls in sorted(self._values.items(), reverse=True):
            table[cls] = value
        ids = table[label]
        if ids.min() == _NONE:
            first = label[ids == _NONE].min()
            name = 'unlabelled (255)' if first == UNLABELLED else f'class {first}'
            raise DataError(f'label files of this data set have no value for {name}: paint over it')
        if self.reads_colors:
            return np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)
        return ids.astype(np.uint8 if ids.max() < 256 else np.uint16)

    def _decode_colors(self, raw: np.ndarray, path: str) -> np.ndarray:
        """Decode a color-coded label map."""
        hint = 'add the color to colors or unlabelled_colors (JPEG labels never match: use PNG)'
        if raw.ndim != 3:  # grey counts as a color
            hint = 'it has one channel: if it holds ids, remove colors from label=dict(...)'
            if raw.dtype != np.uint8:
                raise DataError(f'{path} holds {raw.dtype} numbers, expected RGB colors; {hint}')
            raw = np.repeat(raw[..., None], 3, 2)
        return _by_color(raw, self._values, path, hint)

    def _misfit(self, raw: np.ndarray, path: str) -> str:
        """One sentence on the out-of-range ids of a file."""
        pairs = zip(*(found.tolist() for found in np.unique(raw, return_counts=True)))
        wrong = {i: n for i, n in pairs if i not in self._values}
        first = next(iter(wrong))
        many = len(wrong) - 1
        more = f' and {many} other id{"s" * (many > 1)} are' if many else ' is'
        last = self.num_classes - 1 + self._first
        allowed = (
            f'{self._first}..{last} (unlabelled: {", ".join(map(str, self._nothing)) or "none"})'
        )
        if self.label_map is not None:
            keys = sorted(self.label_map)
            allowed = f'of label_map ({len(keys)} ids, {keys[0]}..{keys[-1]})'
        return (
            f'{path}: label id {first} ({wrong[first]} pixels){more} outside the allowed range '
            f'{allowed}; likely cause: {self._likely_cause(set(wrong))}'
        )

    def _likely_cause(self, ids: set[int]) -> str:
        """Guess why ids are out of range, and name the setting to check."""
        num = self.num_classes
        if self.label_map is not None:
            return 'does label_map miss these ids?'
        if ids == {UNLABELLED}:
            return (
                '255 only: does unlabelled_ids lack 255?'
                if self.unlabelled_ids
                else '255 only: is unlabelled_ids unset?'
            )
        if ids == {num}:
            return (
                f'ids run to {num}, one too far: is reduce_zero_label unset, is {num} the '
                f'unlabelled one (unlabelled_ids=({num}, 255)), or does the class list miss one?'
            )
        if min(ids) < 0:
            return (
                'negative ids: is unlabelled written as -1? Save labels as 8- or 16-bit PNG with '
                'another id for it'
            )
        if max(ids) >= 1000:
            return 'ids above 1000: instance or panoptic ids given as labels?'
        if max(ids) > num and len(ids) > 8 and UNLABELLED not in ids:
            return (
                'many ids: a color or grey image saved as label, or too few classes in the '
                'class list?'
            )
        return 'does the class list miss classes, or label_map miss ids?'


def _by_color(colors: np.ndarray, values: dict[int, int], path: str, hint: str) -> np.ndarray:
    """Classes, (H, W), uint8, of RGB(A) colors, by their code."""
    codes, classes = np.array(sorted(values.items())).T
    code = id24(colors[..., :3])
    place = np.searchsorted(codes, code).clip(max=len(codes) - 1)
    wrong = (codes[place] != code) | (classes[place] == _NONE)
    if wrong.any():
        first = int(code[wrong][0])
        rgb = (first & 255, first >> 8 & 255, first >> 16)
        why = 'is shared by classes' if first in values else 'is of no class'
        raise DataError(f'{path}: the color {rgb} {why} ({wrong.sum()} such pixels); {hint}')
    return classes[place].astype(np.uint8)


def whole(name: str, values: Iterable) -> tuple[int, ...]:
    """The values of a setting as whole numbers."""
    try:
        found = tuple(int(value) for value in values)
        if not any(isinstance(v, float) and v % 1 for v in values):
            return found
    except (TypeError, ValueError):
        pass
    raise DataError(f'{name} must hold whole numbers, for example (0, 255), got {values!r}')


def _file_ids(name: str, values: Iterable) -> tuple[int, ...]:
    """The ids of a setting, which 8- or 16-bit label files must be able to hold."""
    ids = whole(name, values)
    for one in ids:
        if not 0 <= one < _TABLE_SIZE:
            raise DataError(
                f'{name} must hold ids of 8- or 16-bit label files, 0..{_TABLE_SIZE - 1}, got '
                f'{one}; save the labels with other ids'
            )
    return ids
