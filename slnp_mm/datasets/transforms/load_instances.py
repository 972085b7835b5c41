"""Read or make the instances of a sample."""

import os

from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..errors import DataError
from ..instance_cache import InstanceCache, file_stamp


@TRANSFORMS.register_module()
class SLNPLoadInstances(BaseTransform):
    """Add the instances: from id map, COCO JSON or connected components.

    Adds ``instances`` (K, H, W), int16, -1 = none, and
    ``instance_labels`` (n, ), int16, n <= T_max. Must follow
    ``SLNPLoadLabel`` directly. The result is kept on disk.

    Args:
        max_instances (int): T_max, 1..32767: the largest are kept, the
            rest merged class by class. Defaults to 64.
        max_overlap (int): Layers K, >= 1; above 1 only helps with masks
            from a COCO JSON. Defaults to 1.
        cache_dir (str, optional): Folder of the cache; 'auto' is the
            user's cache folder, None keeps nothing. Defaults to 'auto'.

    Raises:
        DataError: If a setting is out of range or the instance map does
            not fit the label.
    """

    def __init__(
        self,
        max_instances: int = 64,
        max_overlap: int = 1,
        cache_dir: str | None = 'auto',
    ) -> None:
        if not 1 <= max_instances <= 32767:
            raise DataError(f'max_instances must be 1..32767, got {max_instances}')
        if max_overlap < 1:
            raise DataError(f'max_overlap must be >= 1, got {max_overlap}')
        self.max_instances = max_instances
        self.max_overlap = max_overlap
        self.cache = InstanceCache(cache_dir)

    def transform(self, results: dict) -> dict:
        """Add ``instances`` and ``instance_labels``."""
        source = results['instance_source']
        paths = [results['label_path'], results.get('instance_path', '')]
        files = [*paths, source.json_file or '']
        made_of = [file_stamp(path) for path in files]
        # runs with other settings keep their own maps beside these
        name = '|'.join(
            [path and os.path.abspath(path) for path in files]
            + self._settings(source, results['label_codec'])
        )
        found = self.cache.load(name, made_of)
        if found is None or found.layers.shape[1:] != results['label'].shape:
            found = source.make(
                results['label'],
                results['img_path'],
                paths[1],
                self.max_instances,
                self.max_overlap,
            )
            self.cache.save(name, made_of, found)
        results['instances'] = found.layers
        results['instance_labels'] = found.classes
        results['max_instances'] = self.max_instances
        return results

    def _settings(self, source, codec) -> list[str]:
        """All settings that the result depends on, as text."""
        return [
            str(self.max_instances),
            str(self.max_overlap),
            source.stamp(),
            codec.stamp,
        ]
