"""The generator as a graph of plain operations: ONNX, or torch.export."""

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
# the graph's inputs and their dimensions of any size
AXES = {name: {0: 'batch'} for name in ('label', 'instances', 'instance_labels', 'noise')}
AXES['instance_labels'][1] = 'instances'


class Exported(nn.Module):
    """Label maps and white noise in, pictures out; prior and normalisation are inside.

    Args:
        model (SLNPGAN): With a trained prior, or random noise. Its averaged generator is taken if
            it has one.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        averaged = model.with_ema_gen
        self.generator = model.generator_ema.module if averaged else model.generator
        self.prior = None if model.noise_prior is None else model.trained_prior()
        self.eval().requires_grad_(False)

    def forward(
        self, label: Tensor, instances: Tensor, instance_labels: Tensor, noise: Tensor
    ) -> Tensor:
        """Draw the last stage's pictures.

        Args:
            label (Tensor): (B, H, W), int64, 0..C-1 or 255.
            instances (Tensor): (B, K, H, W), int64, -1..T-1.
            instance_labels (Tensor): (B, T), int64, -1 for an empty slot.
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
    """Make a batch of made-up label maps: bands of classes, each an instance, and noise.

    Args:
        network (Exported): For its classes and its noise.
        size (tuple[int, int]): Height and width.
        layers (int): ``K``, layers of instance ids. Defaults to 1.
        batch (int): ``B``. Defaults to 2.
        slots (int): ``T``, the last of which is empty, >= 2. Defaults to 5.

    Returns:
        dict[str, Tensor]: By the names of the graph's inputs.
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
    """Write the network down as a graph of any batch and any number of instances."""
    dims = {name: Dim(name) for name in ('batch', 'instances')}
    shapes = {name: {k: dims[v] for k, v in axes.items()} for name, axes in AXES.items()}
    with torch.no_grad():
        return torch.export.export(network, (), inputs, dynamic_shapes=shapes)


def save(program: torch.export.ExportedProgram, path: str, facts: dict[str, str]) -> None:
    """Write a graph with its facts, by the ending of the file: .pt2, or .onnx."""
    if path.endswith('.pt2'):
        torch.export.save(program, path, extra_files={'metadata.json': json.dumps(facts)})
        return
    # ONNX's translation of the whole operator wants a dimension of heads; its parts do without
    attention = torch.ops.aten.scaled_dot_product_attention.default
    parts = {attention: torch.export.default_decompositions().pop(attention)}
    program = program.run_decompositions(parts)
    converted = torch.onnx.export(
        program, opset_version=OPSET, dynamic_shapes=AXES, output_names=['image'], verbose=False
    )
    converted.model.metadata_props.update(facts)
    converted.save(path)


def load(path: str) -> Callable[[dict[str, Tensor]], np.ndarray]:
    """Load such a file as a function of the inputs by name, which gives the pictures."""
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
    """Say what is in the file, for its metadata: texts, lists and dicts as JSON."""
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
    """Write the file and run it once.

    Returns:
        int: Greatest difference from PyTorch, grey levels of 0..255.

    Raises:
        SLNPError: If it is above 1; nothing is written then.
    """
    with replace_file(path) as draft:
        save(trace(network, inputs), draft, facts)
        made, expected = load(draft)(inputs), network(**inputs).numpy()
        difference = int(np.abs(made.astype(int) - expected).max())
        if difference > 1:
            raise SLNPError(
                f'the exported network differs from PyTorch by {difference} grey levels, where 1 '
                'is rounding: it is not written; try the other format, and report this'
            )
    return difference
