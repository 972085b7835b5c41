"""Check a data set before training: run its own pipeline on every file, on all cores."""

import contextlib
import logging
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.utils import track_iter_progress
from torch.utils.data import DataLoader

from ..errors import CorruptFileError, DataError
from .codec import UNLABELLED
from .slnp_dataset import SKIP_ADVICE, SLNPDataset
from .transforms import SLNPLoadImage, SLNPLoadLabel

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


def check_sample(dataset: SLNPDataset, info: dict) -> dict:
    """Run the pipeline on one sample and collect its problems.

    After a problem, image and label are read on their own, so that faults of both are listed.

    Returns:
        dict: ``problems``, a list of (kind, sentence); ``pixels``, (256, ), int64, per class id and
        255, or None; ``instances``, count or -1.
    """
    info, problems, seen = info | dataset.rules(), [], {}
    image, label = SLNPLoadImage(), SLNPLoadLabel(dataset.codec)
    for steps in (dataset.pipeline.transforms, (image, label), (label,)):
        if not {'label', 'orientation'} <= seen.keys():
            problem = _run(steps, dict(info), seen)
            problems += [problem] if problem and problem not in problems else []
    orientation = seen.get('orientation', 1)
    if orientation != 1 and dataset.exif_orientation is None:
        text = (
            f'{info["img_path"]} has EXIF orientation {orientation}: viewers rotate it, but its '
            'pixels are used as stored, so labels drawn on the displayed image do not fit them; '
            "set exif_orientation of the data set: 'images' if the labels fit the displayed image, "
            "'both' to rotate images and labels, 'ignore' if the labels fit the stored pixels"
        )
        problems.append(('orientation', text))
    return dict(
        problems=problems,
        pixels=np.bincount(seen['label'].ravel(), minlength=256) if 'label' in seen else None,
        instances=len(seen['instance_labels']) if 'instance_labels' in seen else -1,
    )


def _run(steps: Sequence[Callable], results: dict, seen: dict) -> tuple[str, str] | None:
    """Run steps up to the first problem and return it; record in ``seen`` what they read."""
    for step in steps:
        try:
            results = step(results)
        except CorruptFileError as error:
            return 'unreadable', f'{error}{SKIP_ADVICE}'
        except DataError as error:
            kind = getattr(step, 'PROBLEM', 'data') if error.kind == 'data' else error.kind
            return kind, str(error)
        for key in {'label', 'orientation', 'instance_labels'} & results.keys():
            seen.setdefault(key, results[key])
    return None


def check_dataset(
    dataset: SLNPDataset,
    num_workers: int | None = None,
    limit: int | None = None,
    progress: bool = False,
) -> 'CheckReport':
    """Check a whole data set.

    Args:
        dataset (SLNPDataset): With ``lazy_init``, unpaired files are listed instead of raised.
        num_workers (int, optional): Processes; None uses all cores.
        limit (int, optional): Check at most this many samples, evenly spaced, >= 1.
        progress (bool): Show a progress bar on standard error.

    Raises:
        DataError: If ``limit`` is below 1.
    """
    if limit is not None and limit < 1:
        raise DataError(f'limit must be at least 1 sample, got {limit}')
    start = time.time()

    # the files
    report = CheckReport(dataset.metainfo['classes'], dataset.data_root)
    try:
        dataset.make_rules()
        found = dataset.find_all()
        samples = dataset.chosen(dataset.samples(found))
    except DataError as error:
        report.add_problem('folder', str(error))
        return report
    for text in dataset.unpaired(found):
        report.add_problem('pair', text)
    if dataset.instance_loader:
        report.max_instances = dataset.instance_loader.max_instances

    # the samples
    report.num_listed = len(found['img'])
    samples = spread(samples, limit)
    records = _walk(dataset, samples, num_workers or len(os.sched_getaffinity(0)))
    if progress:
        records = track_iter_progress((records, len(samples)), 24, sys.stderr)
    for record in records:
        report.add(record)

    report.seconds = time.time() - start
    report.close()
    return report


def spread(samples: Sequence, limit: int | None) -> list:
    """Take at most ``limit`` items, evenly spaced."""
    if limit is None or limit >= len(samples):
        return list(samples)
    places = np.linspace(0, len(samples) - 1, limit).round().astype(int)
    return [samples[i] for i in places]


def _walk(dataset: SLNPDataset, samples: list[dict], workers: int) -> Iterator[dict]:
    """Check samples in this process or in several, with one OpenCV thread each."""
    loader = DataLoader(
        samples,
        batch_size=8,
        num_workers=min(workers, len(samples)) if workers > 1 else 0,
        collate_fn=lambda batch: [check_sample(dataset, info) for info in batch],
        generator=torch.Generator(),  # keeps torch's global one untouched
    )
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # before the fork: workers would wait for threads that they do not have
    try:
        with _same_randomness():
            for records in loader:
                yield from records
    finally:
        cv2.setNumThreads(threads)


@contextlib.contextmanager
def _same_randomness() -> Iterator[None]:
    """Restore numpy's and Python's random state afterwards."""
    ours, python = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        np.random.set_state(ours)
        random.setstate(python)


def quick_check(dataset: SLNPDataset, num_samples: int = 64, max_seconds: float = 10.0) -> int:
    """Check at most ``num_samples`` evenly spaced samples, for ``max_seconds``; return the count.

    Samples that ``skip_corrupt`` will replace, and rotated images, are only logged.

    Raises:
        DataError: On the first problem.
    """
    dataset.full_init()
    start, checked, warned = time.time(), 0, False
    for index in spread(range(len(dataset)), num_samples):
        with _same_randomness():
            record = check_sample(dataset, dataset.get_data_info(index))
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
    """Problems and statistics of a data set, called ``name`` in the text."""

    def __init__(self, classes: Sequence[str], name: str) -> None:
        self.classes, self.name = tuple(classes), name
        self.max_instances: int | None = None  # T_max of the pipeline
        self.problems: dict[str, list[str]] = {}
        self.pixels = np.zeros(256, np.int64)
        self.images = np.zeros(256, np.int64)
        self.instances: list[int] = []
        self.num_listed = self.num_checked = 0
        self.seconds = 0.0

    def add_problem(self, kind: str, text: str) -> None:
        """Record one problem."""
        self.problems.setdefault(kind, []).append(text)

    def add(self, record: dict) -> None:
        """Add a result of ``check_sample``."""
        self.num_checked += 1
        for kind, text in record['problems']:
            self.add_problem(kind, text)
        if record['pixels'] is not None:
            self.pixels += record['pixels']
            self.images += record['pixels'] > 0
        if record['instances'] >= 0:
            self.instances.append(record['instances'])

    def close(self) -> None:
        """Add the problems that only show over the whole set."""
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
        """Whether no problem was found."""
        return not self.problems

    @property
    def empty_classes(self) -> list[str]:
        """Names of the classes without pixels."""
        return [name for name, n in zip(self.classes, self.pixels) if n == 0]

    @property
    def unlabelled_share(self) -> float:
        """Share of unlabelled pixels, 0..1."""
        return float(self.pixels[UNLABELLED] / max(self.pixels.sum(), 1))

    def to_dict(self) -> dict:
        """The whole report, ready for ``json.dump``."""
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
        """Format the report: five problems of each kind, the twelve largest classes."""
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
            lines.append(f'  instances per image: mean {count["mean"]:.1f}, max {count["max"]}')
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
