"""Check a data set before training, file by file, on all cores."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from mmagic.registry import DATASETS
from mmengine.logging import print_log

from .errors import CorruptFileError, DataError
from .image_io import decode_ids, decode_image, header_size, read_bytes
from .instance_maps import histogram
from .preflight_report import PreflightReport
from .slnp_dataset import SLNPDataset
from .transforms import SLNPLoadInstances, SLNPLoadLabel

Progress = Callable[[int, int], None]
_STATE: dict = {}


def check_sample(info: dict, loader: SLNPLoadInstances | None) -> dict:
    """Check the files of one sample.

    Args:
        info (dict): Paths, ``label_codec`` and ``instance_source``, as the
            data set hands to its pipeline.
        loader (SLNPLoadInstances, optional): Makes the instances, and so
            fills the cache; None skips them.

    Returns:
        dict: ``problems``, a list of (kind, sentence); ``pixels``, (256, ),
        int64, pixels of each class and of 255; ``instances``, count or -1.
    """
    record = dict(problems=[], pixels=None, instances=-1)

    def note(kind: str, text: str) -> None:
        record['problems'].append((kind, text))

    results = dict(info)
    try:
        data = read_bytes(info['img_path'])
        size = header_size(data)  # None: neither JPEG nor PNG
        image = decode_image(data, info['img_path'], 8 if size else 1)
        results['ori_shape'] = size or image.shape[:2]
    except CorruptFileError as error:
        note('unreadable', str(error))
    label = _check_label(results, note)
    if label is None:
        return record
    record['pixels'] = histogram(label)
    if loader is not None and not record['problems']:
        try:
            results['label'] = label
            record['instances'] = len(loader.transform(results)['instance_labels'])
        except CorruptFileError as error:
            note('unreadable', str(error))
        except DataError as error:
            note('instances', str(error))
    return record


def _check_label(results: dict, note: Callable) -> np.ndarray | None:
    """Read the label; None and a note if it breaks the contract."""
    path, codec = results['label_path'], results['label_codec']
    try:
        return SLNPLoadLabel().transform(results)['label']
    except CorruptFileError as error:
        note('unreadable', str(error))
        return None
    except DataError as error:
        text = str(error)
    try:
        raw = decode_ids(read_bytes(path), path)
    except DataError as error:  # a JPEG
        note('ids', str(error))
        return None
    same = raw.shape[:2] == tuple(results.get('ori_shape', raw.shape[:2]))
    note('ids' if same else 'size', text)
    if not same:
        try:
            codec(raw, path)
        except DataError as error:
            note('ids', str(error))
    return None


def check_dataset(
    dataset: SLNPDataset,
    num_workers: int | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> PreflightReport:
    """Walk a whole data set.

    Args:
        dataset (SLNPDataset): Need not be initialised (``lazy_init``), so
            that unpaired files are listed instead of raised.
        num_workers (int, optional): Processes; None takes all cores.
        limit (int, optional): Check this many samples, evenly spread.
        progress (Callable, optional): Called with done and total.

    Returns:
        PreflightReport: What was found.
    """
    start = time.time()
    loader = instance_loader(dataset)
    report = PreflightReport(
        dataset.metainfo['classes'],
        dataset.data_root,
        loader.max_instances if loader else None,
    )
    try:
        dataset.make_rules()
        found = dataset.find_all()
        if loader is not None:
            dataset.source.prepare()  # once, before the processes part
    except DataError as error:
        report.add_problem('folder', str(error))
        return report
    for text in dataset.unpaired(found):
        report.add_problem('pair', text)
    samples = spread(dataset.samples(found), limit)
    report.num_listed = len(found['img'])
    workers = min(num_workers or os.cpu_count() or 1, max(len(samples), 1))
    for done, record in enumerate(_walk(dataset, samples, workers), 1):
        report.add(record)
        if progress is not None:
            progress(done, len(samples))
    report.seconds = time.time() - start
    report.close()
    return report


def spread(samples: Sequence, limit: int | None) -> list:
    """Take at most ``limit`` items, evenly spread over the list."""
    if limit is None or limit >= len(samples):
        return list(samples)
    places = np.linspace(0, len(samples) - 1, limit).round().astype(int)
    return [samples[i] for i in places]


def instance_loader(dataset: SLNPDataset) -> SLNPLoadInstances | None:
    """The instance transform of the data set's pipeline, if it has one."""
    return next(
        (step for step in dataset.pipeline.transforms if isinstance(step, SLNPLoadInstances)),
        None,
    )


def _walk(dataset: SLNPDataset, samples: list, workers: int) -> Iterator[dict]:
    """Check samples, in this process or in several."""
    rules = dict(label_codec=dataset.codec, instance_source=dataset.source)
    state = (rules, instance_loader(dataset))
    if workers <= 1:
        for info in samples:
            yield check_sample({**info, **rules}, state[1])
        return
    with multiprocessing.Pool(workers, _start_worker, state) as pool:
        yield from pool.imap_unordered(_work, samples, chunksize=8)


def _start_worker(rules: dict, loader: SLNPLoadInstances | None) -> None:
    """Keep the rules in the worker; one OpenCV thread a process."""
    cv2.setNumThreads(1)
    _STATE.update(rules=rules, loader=loader)


def _work(info: dict) -> dict:
    """Check one sample in a worker."""
    return check_sample({**info, **_STATE['rules']}, _STATE['loader'])


def quick_check(
    dataset: SLNPDataset | dict,
    num_samples: int = 64,
    max_seconds: float = 10.0,
) -> int:
    """Check a few samples and raise on the first problem.

    A sample that ``skip_corrupt`` will replace is only logged.

    Args:
        dataset (SLNPDataset | dict): The set, or its config.
        num_samples (int): At most this many, evenly spread. Defaults to 64.
        max_seconds (float): Stop after this time. Defaults to 10.

    Returns:
        int: Number of samples checked.

    Raises:
        DataError: With the sentence of the first problem.
    """
    if isinstance(dataset, dict):
        dataset = DATASETS.build(dataset)
    dataset.full_init()
    loader = instance_loader(dataset)
    start = time.time()
    checked = 0
    for idx in spread(range(len(dataset)), num_samples):
        info = dataset.get_data_info(int(idx))
        info.update(label_codec=dataset.codec, instance_source=dataset.source)
        for kind, text in check_sample(info, loader)['problems'][:1]:
            if kind != 'unreadable' or not dataset.skip_corrupt:
                raise DataError(text)
            print_log(
                f'preflight: skip_corrupt will replace a sample: {text}',
                logger='current',
                level=30,
            )
        checked += 1
        if time.time() - start > max_seconds:
            break
    return checked
