"""Look inside mmengine's data set wrappers (ConcatDataset, RepeatDataset, ...)."""

from collections.abc import Iterator
from typing import Any

from mmagic.registry import DATASETS

from ..errors import SLNPError

# Settings in which the parts of a joined set may differ: where their files are.
_OWN = ('data_root', 'data_prefix', 'ann_file', 'split', 'indices', 'skip_corrupt')
# Arguments that need files besides the folders; dropped.
_FILES = ('ann_file', 'instances')


def parts(dataset: Any) -> Iterator[Any]:
    """Yield each set inside a wrapper, or the data set itself; of a config, the configs."""
    get = dict.get if isinstance(dataset, dict) else getattr
    inner = get(dataset, 'datasets', None) or [get(dataset, 'dataset', None)]
    if inner == [None]:
        yield dataset
    else:
        for part in inner:
            yield from parts(part)


def places(dataset: Any) -> list[str]:
    """Folders and files that a set of this package, or a wrapper of such sets, reads."""
    found = []
    for part in parts(dataset):
        found += getattr(part, 'data_prefix', {}).values()
        found.append(getattr(getattr(part, 'source', None), 'json_file', None))
    return [place for place in found if place]


def build_rules(config: dict) -> list[Any]:
    """Build the parts of a data set's config for their rules only, without samples.

    Raises:
        SLNPError: If the parts read labels by different rules.
    """
    settings = list(parts(config))
    first, *others = [{k: v for k, v in part.items() if k not in _OWN} for part in settings]
    for other in others:
        names = sorted(k for k in {*first, *other} if first.get(k) != other.get(k))
        if names:
            raise SLNPError(
                f'the parts of test_dataloader differ in {", ".join(names)}, so the format of '
                'the label maps is ambiguous: keep one part in the config'
            )
    datasets = []
    for part in settings:
        cfg = {k: v for k, v in part.items() if k not in _FILES}
        instance = cfg.get('instance') or {}
        lists = ('json_file', 'category_map')
        cfg['instance'] = {k: v for k, v in instance.items() if k not in lists}
        datasets.append(DATASETS.build(dict(cfg, lazy_init=True)))
    return datasets
