"""Export of the generator to ONNX and torch.export."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from slnp_mm import __version__
from slnp_mm.datasets.codec import UNLABELLED
from slnp_mm.errors import SLNPError
from slnp_mm.evaluation.scorers import file_sha256
from slnp_mm.files import replace_file

OPSET = 18
# inputs of the graph with their dynamic dimensions
AXES = {name: {0: 'batch'} for name in ('label', 'instances', 'instance_labels', 'noise')}
AXES['instance_labels'][1] = 'instances'


class Exported(nn.Module):
    """The generator, averaged if possible, with its prior and normalisation."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        averaged = model.with_ema_gen
        self.generator = model.generator_ema.module if averaged else model.generator
        self.prior = None if model.noise_prior is None else model.trained_prior()
        self.eval().requires_grad_(False)

    def forward(
        self, label: Tensor, instances: Tensor, instance_labels: Tensor, noise: Tensor
    ) -> Tensor:
        """Generate the last stage's images.

        Args:
            label (Tensor): (B, H, W), int64, 0..C-1 or 255.
            instances (Tensor): (B, K, H, W), int64, -1..T-1.
            instance_labels (Tensor): (B, T), int64, -1 for empty slots.
            noise (Tensor): White noise z, (B, *noise_shape), float32.

        Returns:
            Tensor: (B, H, W, 3), RGB, uint8.
        """
        if self.prior is not None:
            noise = self.prior.shape_noise(noise)
        label = label.masked_fill(label == UNLABELLED, self.generator.num_classes)
        image = self.generator(label, instances, instance_labels, noise).images[-1]
        return ((image + 1) * 127.5).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def make_inputs(
    network: Exported, size: tuple[int, int], layers: int = 1, batch: int = 2, slots: int = 5
) -> dict[str, Tensor]:
    """Make example inputs: noise, and label maps with one horizontal band per instance.

    Args:
        network (Exported): Determines the number of classes and the noise shape.
        size (tuple[int, int]): Height and width.
        layers (int): ``K``, layers of instance ids. Defaults to 1.
        batch (int): ``B``. Defaults to 2.
        slots (int): ``T``, >= 2; the last slot is empty. Defaults to 5.
    """
    rng = torch.Generator().manual_seed(0)
    generator, (height, width) = network.generator, size
    classes = torch.randint(generator.num_classes, (batch, slots), generator=rng)
    classes[:, -1] = -1
    row = torch.arange(height) * (slots - 1) // height
    ids = row[:, None].expand(batch, layers, height, width).contiguous()
    noise = torch.randn(batch, *generator.noise_shape, generator=rng)
    label = classes[:, row, None].expand(batch, height, width).contiguous()
    return dict(zip(AXES, (label, ids, classes, noise)))


def trace(network: Exported, inputs: dict[str, Tensor]) -> torch.export.ExportedProgram:
    """Trace the network with dynamic batch size and number of instances."""
    dims = {name: Dim(name) for name in ('batch', 'instances')}
    shapes = {name: {k: dims[v] for k, v in axes.items()} for name, axes in AXES.items()}
    with torch.no_grad():
        return torch.export.export(network, (), inputs, dynamic_shapes=shapes)


def save(program: torch.export.ExportedProgram, path: str, facts: dict[str, str]) -> None:
    """Save a graph with its metadata as .pt2 or .onnx."""
    if path.endswith('.pt2'):
        torch.export.save(program, path, extra_files={'metadata.json': json.dumps(facts)})
        return
    # ONNX's translation of fused attention requires a head dimension: decompose it
    attention = torch.ops.aten.scaled_dot_product_attention.default
    parts = {attention: torch.export.default_decompositions().pop(attention)}
    program = program.run_decompositions(parts)
    converted = torch.onnx.export(
        program, opset_version=OPSET, dynamic_shapes=AXES, output_names=['image'], verbose=False
    )
    converted.model.metadata_props.update(facts)
    converted.save(path)


def load(path: str) -> Callable[[dict[str, Tensor]], np.ndarray]:
    """Load an exported file as a function from inputs by name to images."""
    if path.endswith('.pt2'):
        graph = torch.export.load(path).module()
        return lambda inputs: graph(**inputs).numpy()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    return lambda inputs: session.run(None, {k: v.numpy() for k, v in inputs.items()})[0]


def describe(
    network: Exported, inputs: dict[str, Tensor], classes: list[str], config: str, checkpoint: str
) -> dict[str, str]:
    """Metadata of the file, with lists and dicts as JSON."""
    prior = 'without a prior' if network.prior is None else 'the noise prior is inside'
    source = dict(config=os.path.basename(config), checkpoint=os.path.basename(checkpoint))
    source |= dict(sha256=file_sha256(checkpoint), slnp_mm=__version__, torch=torch.__version__)
    return dict(
        classes=json.dumps(classes),
        size=json.dumps(list(inputs['label'].shape[1:])),
        layers=json.dumps(inputs['instances'].shape[1]),
        noise=f'white, {prior}; shape {list(network.generator.noise_shape)}',
        opset=str(OPSET),
        source=json.dumps(source),
    )


def export(network: Exported, inputs: dict[str, Tensor], path: str, facts: dict[str, str]) -> int:
    """Write the file and return its largest difference from PyTorch, in grey levels of 0..255."""
    with replace_file(path) as draft:
        save(trace(network, inputs), draft, facts)
        made, expected = load(draft)(inputs), network(**inputs).numpy()
        difference = int(np.abs(made.astype(int) - expected).max())
        if difference > 1:
            raise SLNPError(
                f'expected rounding errors of 1 grey level, but the exported network differs from '
                f'PyTorch by {difference} grey levels and was not saved: try the other format, and '
                'please report this'
            )
    return difference
