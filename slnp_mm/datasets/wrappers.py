"""Look into mmengine's wrappers of data sets (ConcatDataset, RepeatDataset, ...)."""

from collections.abc import Iterator
from typing import Any


def part_configs(config: dict) -> Iterator[dict]:
    """Give the settings of each set in a wrapper's, or the settings themselves."""
    inner = config.get('datasets') or [config.get('dataset')]
    if inner == [None]:
        yield config
    else:
        for part in inner:
            yield from part_configs(part)


def parts(dataset: Any) -> Iterator[Any]:
    """Give each set inside a wrapper, or the data set itself."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner == [None]:
        yield dataset
    else:
        for part in inner:
            yield from parts(part)


def places(dataset: Any) -> list[str]:
    """List the folders and files that a set of this package, or a wrapper of such, reads."""
    found = []
    for part in parts(dataset):
        found += getattr(part, 'data_prefix', {}).values()
        found.append(getattr(getattr(part, 'source', None), 'json_file', None))
    return [place for place in found if place]
