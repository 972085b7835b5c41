"""Small label maps, instances and models, the same for all tests."""

import copy
import sys
from contextlib import contextmanager

import pytest
import torch

CLASSES = 5
SLOTS = 6


def naive_masks(ids, slots):
    """P_i of every instance as a boolean (B, T, H, W)."""
    return (ids[:, :, None] == torch.arange(slots)[:, None, None]).any(1)


def naive_counts(masks, rows, cols):
    """Pixels of every instance in the cells of a grid, (B, T, rows * cols), float64."""
    cells = masks.double().unflatten(3, (cols, -1)).unflatten(2, (rows, -1))
    return cells.sum((3, 5)).flatten(2)


def naive_label_map(masks, labels, grid):
    """M with explicit masks: 1 where an instance of the class has a pixel in the cell."""
    counts = naive_counts(masks, *grid).unflatten(2, grid)
    found = torch.zeros(len(masks), CLASSES, *grid, dtype=torch.float64)
    for b, i in (labels >= 0).nonzero().tolist():
        found[b, labels[b, i]] += counts[b, i]
    return (found > 0).double()


def naive_place(vectors, masks):
    """Eq. (15) with explicit masks: the maximum over covering instances, 0 where there is none."""
    maximum = torch.where(masks[:, :, None], vectors[..., None, None], -torch.inf).amax(1)
    return torch.where(masks.any(1, keepdim=True), maximum, 0)


def naive_weights(regions, instances, valid):
    """Eq. (10), (11), (14): exp of dot products over their sum."""
    powers = (regions @ instances.mT).exp() * valid[:, None]
    return powers / powers.sum(-1, keepdim=True)


def naive_instance_context(context, cover):
    """Mean context of the regions that an instance covers, 0 where it covers none."""
    out = torch.zeros(*cover.shape[:2], context.shape[2], dtype=context.dtype)
    for b, i in cover.any(2).nonzero().tolist():
        out[b, i] = context[b, cover[b, i]].mean(0)
    return out


def make_instances(size=32, overlap=2):
    """Two images with every kind of instance.

    Image 0: instance 0 covers all of layer 0, 1 and 3 overlap it and 5 is
    a single pixel; 2 has a class but no pixel and 4 is padding. Image 1: a
    strip without any instance, no overlap, 3 to 5 are padding.

    Returns:
        tuple: ids (2, overlap, H, W), instance_labels (2, SLOTS), label
        (2, H, W) as class indices, unlabelled pixels among them.
    """
    half, quarter = size // 2, size // 4
    ids = torch.full((2, overlap, size, size), -1)
    ids[0, 0] = 0
    ids[1, 0, :, :half] = 0
    ids[1, 0, quarter:, half:-quarter] = 1
    ids[1, 0, :quarter, half:-quarter] = 2
    if overlap > 1:
        ids[0, 1, quarter:half, :half] = 1
        ids[0, 1, half:, half:] = 3
        ids[0, 1, 0, size - 1] = 5
    labels = torch.tensor([[2, 0, 4, 2, -1, 1], [1, 3, 3, -1, -1, -1]])
    if overlap == 1:
        labels[0, 1:] = -1
    table = torch.nn.functional.pad(labels, (1, 0), value=CLASSES)
    top = torch.where(ids[:, -1] >= 0, ids[:, -1], ids[:, 0])
    label = table.gather(1, (top + 1).flatten(1)).view_as(top)
    return ids, labels, label


GENERATOR = dict(
    type='SLNPGenerator',
    num_classes=CLASSES,
    noise_shape=(4, 2, 2),
    global_generator=dict(
        type='SLNPGlobalGenerator',
        embed_channels=8,
        code_channels=8,
        base_channels=8,
        max_channels=16,
        num_downs=2,
        num_blocks=1,
    ),
    refiners=[
        dict(
            type='SLNPLocalRefiner',
            embed_channels=8,
            attention_channels=8,
            base_channels=8,
            num_blocks=1,
            num_regions=4,
        )
    ],
)
PRIOR = dict(type='NoisePriorVAE', image_size=8, latent_channels=4, base_channels=4, num_scales=2)
PRETRAINED = dict(
    type='SLNPPretrainedDiscriminator', num_classes=CLASSES, channels=8, embed_channels=8
)
MODEL = dict(
    type='SLNPGAN',
    data_preprocessor=dict(type='SLNPDataPreprocessor', num_classes=CLASSES),
    generator=GENERATOR,
    discriminator=dict(
        type='SLNPDiscriminator',
        num_classes=CLASSES,
        base_channels=8,
        max_channels=16,
        num_layers=2,
        embed_channels=8,
    ),
    gan_loss=dict(type='SLNPGANLoss'),
    noise='random',
    noise_prior=PRIOR,
)


def build(cfg, seed=0):
    """Build a registered class with seeded weights."""
    from mmagic.registry import MODELS

    import slnp_mm  # noqa: F401

    torch.manual_seed(seed)
    return MODELS.build(copy.deepcopy(cfg))


def train_statistics(prior):
    """Let the batch norms of a prior see data."""
    prior.train()
    for _ in range(2):
        prior.loss(torch.rand(4, 3, 8, 8) * 2 - 1)
    return prior.eval()


def assert_gradients(net, idle_biases=False):
    """Every parameter has a finite gradient other than 0; not so biases before a norm."""
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, f'{name} is never used'
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any() or (idle_biases and 'bias' in name), f'{name} changes nothing'


def generator_cfg(stages=2, modulated=False, **options):
    """Tiny generator with the given switches."""
    cfg = copy.deepcopy({**GENERATOR, **options})
    cfg['global_generator']['modulated'] = modulated
    cfg['refiners'][0]['modulated'] = modulated
    cfg['refiners'] *= stages - 1
    return cfg


def plus_model():
    """Tiny model with all that the plus configs have."""
    model = build(
        dict(
            copy.deepcopy(MODEL),
            generator=generator_cfg(modulated=True),
            discriminator=PRETRAINED,
            gan_loss=dict(type='SLNPGANLoss', gan_type='hinge'),
            noise='prior',
            noise_prior=dict(PRIOR, code_rank=3),
            code_share=0.5,
            ema_config=dict(type='SLNPRampUpEMA', interval=1, ema_kimg=1, batch_size=2),
        )
    )
    train_statistics(model.noise_prior)
    return model.train()


def make_data(size=32, seed=0):
    """A batch of two as the loader gives it: BGR uint8, DataSamples."""
    from mmagic.structures import DataSample

    ids, labels, label = make_instances(size)
    label[label == CLASSES] = 255
    rng = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (2, 3, size, size), generator=rng, dtype=torch.uint8)
    return dict(
        inputs=[
            dict(img=image[b], label=label[b][None], instances=ids[b], instance_labels=labels[b])
            for b in range(2)
        ],
        data_samples=[
            DataSample(metainfo=dict(sample_idx=b, label_path=f'{b}.png')) for b in range(2)
        ],
    )


def make_wrappers(model, lr=1e-3, accumulate=1, autocast=False, optimizer=torch.optim.SGD):
    """An optimizer for each of both networks, as the runner would wrap it.

    ``autocast`` is bfloat16 on the CPU; mmengine's AmpOptimWrapper refuses
    to work without an accelerator.
    """
    from mmengine.optim import OptimWrapper, OptimWrapperDict

    class CPUAutocast(OptimWrapper):
        @contextmanager
        def optim_context(self, module):
            with super().optim_context(module), torch.autocast('cpu', torch.bfloat16):
                yield

    kind = CPUAutocast if autocast else OptimWrapper
    return OptimWrapperDict(
        **{
            name: kind(
                optimizer(getattr(model, name).parameters(), lr=lr), accumulative_counts=accumulate
            )
            for name in ('generator', 'discriminator')
        }
    )


@pytest.fixture(scope='session')
def tools():
    """The helpers of this file, for tests that cannot import it."""
    return sys.modules[__name__]


@pytest.fixture(autouse=True)
def _fresh():
    """Seed, first iteration and mmagic's scope for every test."""
    from mmengine.logging import MessageHub
    from mmengine.registry import DefaultScope

    torch.manual_seed(0)
    MessageHub.get_current_instance().update_info('iter', 0)
    with DefaultScope.overwrite_default_scope('mmagic'):
        yield
