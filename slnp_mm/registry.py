"""The scope ``slnp_mm``: mmagic's registries by another name.

What a config takes from ``slnp_mm::configs/...`` gets this scope from mmengine, which imports this
module to look it up. Our classes are registered in mmagic's registries, and found from these.
"""

from mmagic import registry
from mmengine.registry import Registry

for parent in [item for item in vars(registry).values() if isinstance(item, Registry)]:
    Registry(parent.name, parent=parent, scope='slnp_mm', locations=parent._locations)
