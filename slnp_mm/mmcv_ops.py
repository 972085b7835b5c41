"""A stand-in for mmcv's compiled operators.

mmagic's and mmsegmentation's modules import these operators by name; none of the networks used
here calls one. With the stand-in, ``mmcv-lite`` (a pure Python wheel) is enough.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

EXTENSION = 'mmcv._ext'


class MissingOperators(ModuleType):
    """A module in which every operator is found and refuses to be called."""

    def __getattr__(self, name: str):
        """Return a function that raises.

        Raises:
            AttributeError: If the name is one that Python itself looks up.
        """
        if name.startswith('__'):
            raise AttributeError(name)

        def refuse(*args, **kwargs):
            raise RuntimeError(
                f'{name} is a compiled operator of mmcv, and mmcv-lite has none; replace it: '
                "pip uninstall mmcv-lite; pip install 'setuptools<81' ninja; "
                'pip install --no-build-isolation mmcv==2.1.0 (compiles with g++)'
            )

        return refuse


def provide_operators() -> None:
    """Register the stand-in, unless mmcv has its operators.

    Raises:
        ImportError: If neither mmcv nor mmcv-lite is installed.
    """
    if importlib.util.find_spec('mmcv') is None:
        raise ImportError(
            'slnp_mm needs mmcv or mmcv-lite, and neither is installed: '
            "pip install 'mmcv-lite>=2.1.0,<2.2'"
        )
    if importlib.util.find_spec(EXTENSION) is None:
        module = MissingOperators(EXTENSION)
        module.__spec__ = ModuleSpec(EXTENSION, loader=None)
        sys.modules[EXTENSION] = module
