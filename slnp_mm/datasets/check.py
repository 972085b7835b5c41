"""Check a data set before training: run its own pipeline on every file, on all cores."""

import contextlib
import logging
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from mmengine.logging import print_log
from mmengine.utils import track_iter_progress

from ..errors import CorruptFileError, DataError
from .codec import UNLABELLED
from .slnp_dataset import SKIP_ADVICE, SLNPDataset
from .transforms import SLNPLoadImage, SLNPLoadInstances, SLNPLoadLabel

_STATE: dict = {}
_TITLES = dict(
    folder='Folder or setting',
    pair='Pair incomplete',
    unreadable='Unreadable or truncated file',
    size='Size mismatch',
    orientation='EXIF orientation',
    ids='Label id out of range',
    empty='Nothing labelled',
    none='Nothing to train on',
    instances='Instance map',
    data='Other',
)
# the title of an error that says nothing of its own, by the step that raised it
_KINDS = {SLNPLoadLabel: 'ids', SLNPLoadInstances: 'instances'}


def check_sample(info: dict, steps: Sequence[Callable]) -> dict:
    """Run a pipeline on one sample and collect what it refuses.

    After a problem only the label is read still, so that a file which is wrong on both sides is
    listed with both.

    Args:
        info (dict): Paths and rules, as the data set hands to its pipeline.
        steps (Sequence[Callable]): Of :func:`steps_of`.

    Returns:
        dict: ``problems``, a list of (kind, sentence); ``pixels``, (256, ), int64, pixels of each
        class and of 255, or None; ``instances``, count or -1.
    """
    record = dict(problems=[], pixels=None, instances=-1)
    problems, results, orientation = record['problems'], dict(info), 1
    for step in steps:
        if problems and not isinstance(step, SLNPLoadLabel):
            continue
        try:
            results = step(results)
        except CorruptFileError as error:
            problems.append(('unreadable', f'{error}{SKIP_ADVICE}'))
        except DataError as error:
            kind = _KINDS.get(type(step), 'data') if error.kind == 'data' else error.kind
            problems.append((kind, str(error)))
        else:
            if isinstance(step, SLNPLoadImage):
                orientation = results['orientation']
            if isinstance(step, SLNPLoadLabel):
                record['pixels'] = np.bincount(results['label'].ravel(), minlength=256)
            if isinstance(step, SLNPLoadInstances):
                record['instances'] = len(results['instance_labels'])
    if orientation != 1 and info.get('exif_orientation') is None:
        problems.append(
            (
                'orientation',
                f'{info["img_path"]} has EXIF orientation {orientation}: viewers turn it, but its '
                'pixels are used as stored, so labels drawn on the displayed picture do not lie on '
                "them; set exif_orientation of the data set: 'images' if the labels fit the "
                "displayed picture, 'both' to turn pictures and labels, 'ignore' if the labels fit "
                'the stored pixels',
            )
        )
    return record


def steps_of(dataset: SLNPDataset) -> list[Callable]:
    """The data set's pipeline; picture and label are read at any rate."""
    steps = list(dataset.pipeline.transforms)
    for kind in (SLNPLoadLabel, SLNPLoadImage):
        if not any(isinstance(step, kind) for step in steps):
            steps.insert(0, kind())
    return steps


def check_dataset(
    dataset: SLNPDataset,
    num_workers: int | None = None,
    limit: int | None = None,
    progress: bool = False,
) -> 'CheckReport':
    """Walk a whole data set.

    Args:
        dataset (SLNPDataset): With ``lazy_init`` unpaired files are listed instead of raised.
        num_workers (int, optional): Processes; None takes all cores.
        limit (int, optional): Check this many samples, evenly spread, >= 1.
        progress (bool): Show a bar with the time left, on standard error.

    Raises:
        DataError: If ``limit`` is below 1.
    """
    if limit is not None and limit < 1:
        raise DataError(f'the check must see at least 1 sample, but the limit is {limit}')
    start = time.time()

    # the files
    steps = steps_of(dataset)
    slots = [step.max_instances for step in steps if isinstance(step, SLNPLoadInstances)]
    report = CheckReport(dataset.metainfo['classes'], dataset.data_root, *slots[:1])
    try:
        dataset.make_rules()
        found = dataset.find_all()
        if slots:
            dataset.source.prepare()  # once, before the processes part
    except DataError as error:
        report.add_problem('folder', str(error))
        return report
    for text in dataset.unpaired(found):
        report.add_problem('pair', text)

    # the samples
    samples = dataset.chosen(dataset.samples(found))
    report.num_listed = len(found['img'])
    samples = spread(samples, limit)
    workers = min(num_workers or len(os.sched_getaffinity(0)), len(samples))
    records = _walk(dataset.rules(), steps, samples, workers)
    if progress:
        records = track_iter_progress((records, len(samples)), 24, sys.stderr)
    for record in records:
        report.add(record)

    report.seconds = time.time() - start
    report.close()
    return report


def spread(samples: Sequence, limit: int | None) -> list:
    """Take at most ``limit`` items, evenly spread over the list."""
    if limit is None or limit >= len(samples):
        return list(samples)
    places = np.linspace(0, len(samples) - 1, limit).round().astype(int)
    return [samples[i] for i in places]


def _walk(rules: dict, steps: list, samples: list, workers: int) -> Iterator[dict]:
    """Check samples, in this process or in several."""
    if workers <= 1:
        with _same_randomness():
            for info in samples:
                yield check_sample({**info, **rules}, steps)
        return
    with multiprocessing.Pool(workers, _start_worker, (rules, steps)) as pool:
        yield from pool.imap_unordered(_work, samples, chunksize=8)


def _start_worker(rules: dict, steps: list) -> None:
    """Keep the rules in the worker; one OpenCV thread a process."""
    cv2.setNumThreads(1)
    _STATE.update(rules=rules, steps=steps)


def _work(info: dict) -> dict:
    """Check one sample in a worker."""
    return check_sample({**info, **_STATE['rules']}, _STATE['steps'])


@contextlib.contextmanager
def _same_randomness() -> Iterator[None]:
    """Leave the random sources of augmentation as they were found."""
    ours, python = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        np.random.set_state(ours)
        random.setstate(python)


def quick_check(dataset: SLNPDataset, num_samples: int = 64, max_seconds: float = 10.0) -> int:
    """Check a few samples and raise on the first problem.

    A sample that ``skip_corrupt`` will replace, and a picture that viewers turn, are only logged.

    Args:
        dataset (SLNPDataset): The set.
        num_samples (int): At most this many, evenly spread.
        max_seconds (float): Stop after this time.

    Returns:
        int: Number of samples checked.

    Raises:
        DataError: With the sentence of the first problem.
    """
    dataset.full_init()
    start, checked, warned = time.time(), 0, False
    samples = [dataset.get_data_info(i) for i in spread(range(len(dataset)), num_samples)]
    for record in _walk(dataset.rules(), steps_of(dataset), samples, 1):
        for kind, text in record['problems'][:1]:
            if kind == 'unreadable' and dataset.skip_corrupt:
                text = f'skip_corrupt will replace a sample: {text}'
            elif kind != 'orientation':
                raise DataError(text)
            elif warned:
                continue
            warned = warned or kind == 'orientation'
            print_log(f'preflight: {text}', 'current', logging.WARNING)
        checked += 1
        if time.time() - start > max_seconds:
            break
    return checked


class CheckReport:
    """Problems and statistics of one data set.

    Args:
        classes (Sequence[str]): Class names.
        name (str): What the set is called in the text.
        max_instances (int, optional): T_max of the pipeline, to tell how many images reach it.
    """

    def __init__(self, classes: Sequence[str], name: str, max_instances: int | None = None) -> None:
        self.classes, self.name = tuple(classes), name
        self.max_instances = max_instances
        self.problems: dict[str, list[str]] = {}
        self.pixels = np.zeros(256, np.int64)
        self.images = np.zeros(256, np.int64)
        self.instances: list[int] = []
        self.num_listed = self.num_checked = 0
        self.seconds = 0.0

    def add_problem(self, kind: str, text: str) -> None:
        """Note one problem."""
        self.problems.setdefault(kind, []).append(text)

    def add(self, record: dict) -> None:
        """Add what ``check_sample`` returned."""
        self.num_checked += 1
        for kind, text in record['problems']:
            self.add_problem(kind, text)
        if record['pixels'] is not None:
            self.pixels += record['pixels']
            self.images += record['pixels'] > 0
        if record['instances'] >= 0:
            self.instances.append(record['instances'])

    def close(self) -> None:
        """Judge what only the whole set shows."""
        if self.pixels.any() and self.unlabelled_share == 1:
            self.add_problem(
                'empty',
                f'every pixel of {self.name} is unlabelled; likely cause: do unlabelled_ids or '
                'label_map send all ids to 255?',
            )
        first, second, nothing = self.pixels[[0, 1, UNLABELLED]]
        if len(self.classes) == 2 and first and nothing and not second:
            self.add_problem(
                'empty',
                f'{self.name} has pixels of {self.classes[0]} and unlabelled ones, none of '
                f'{self.classes[1]}; are its labels masks of 0 and 255? Then set '
                'label=dict(label_map={0: 0, 255: 1})',
            )

    @property
    def ok(self) -> bool:
        """Whether nothing stands against training on the data."""
        return not self.problems

    @property
    def empty_classes(self) -> list[str]:
        """Names of classes without a pixel."""
        return [name for name, n in zip(self.classes, self.pixels) if n == 0]

    @property
    def unlabelled_share(self) -> float:
        """Share of unlabelled pixels, 0..1."""
        return float(self.pixels[UNLABELLED] / max(self.pixels.sum(), 1))

    def to_dict(self) -> dict:
        """Everything, ready for ``json.dump``."""
        total = max(int(self.pixels.sum()), 1)
        count = np.asarray(self.instances or [0])
        rows = enumerate(zip(self.classes, self.pixels, self.images))
        return dict(
            name=self.name,
            ok=self.ok,
            images_listed=self.num_listed,
            images_checked=self.num_checked,
            seconds=round(self.seconds, 3),
            images_per_second=round(self.num_checked / max(self.seconds, 1e-9), 1),
            num_problems=sum(map(len, self.problems.values())),
            problems=self.problems,
            empty_classes=self.empty_classes,
            unlabelled_share=self.unlabelled_share,
            instances=dict(
                images=len(self.instances),
                mean=float(count.mean()),
                max=int(count.max()),
                limit=self.max_instances,
                images_at_limit=self.instances.count(self.max_instances),
            ),
            classes=[
                dict(id=i, name=name, pixel_share=int(pixels) / total, images=int(images))
                for i, (name, pixels, images) in rows
            ],
        )

    def to_text(self) -> str:
        """Write the report for reading: five problems of each kind, the twelve largest classes."""
        found = self.to_dict()
        lines = [
            f'{self.name}: {self.num_checked} of {self.num_listed} images checked in '
            f'{self.seconds:.1f} s ({found["images_per_second"]:.0f} images/s)'
        ]
        for kind, texts in self.problems.items():
            lines.append(f'  {_TITLES[kind]}: {len(texts)}')
            lines += [f'    {text}' for text in texts[:5]]
            if len(texts) > 5:
                lines.append(f'    ... and {len(texts) - 5} more')
        if self.pixels.any():
            lines += self._statistics(found)
        number = found['num_problems']
        result = f'{number} problem{"s" * (number > 1)}' if number else 'no problem found'
        return '\n'.join([*lines, f'  result: {result}'])

    def _statistics(self, found: dict) -> list[str]:
        """Lines on classes and instances."""
        lines = []
        if self.instances:
            count = found['instances']
            lines.append(f'  instances an image: mean {count["mean"]:.1f}, max {count["max"]}')
            if count['images_at_limit']:
                lines.append(
                    f'  at the limit max_instances={count["limit"]}: {count["images_at_limit"]} '
                    'images; their smallest instances are merged class by class'
                )
        lines.append(f'  unlabelled: {100 * self.unlabelled_share:.2f} % of the pixels')
        if empty := self.empty_classes:
            shown = ', '.join(empty[:8]) + ' ...' * (len(empty) > 8)
            lines.append(
                f'  classes without a pixel: {len(empty)} of {len(self.classes)} ({shown})'
            )
        largest = sorted(found['classes'], key=lambda one: -one['pixel_share'])[:12]
        return lines + [
            f'  {one["id"]:4d} {one["name"]:<20.20s} {100 * one["pixel_share"]:6.2f} % of pixels, '
            f'in {one["images"]} images'
            for one in largest
            if one['images']
        ]
