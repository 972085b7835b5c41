"""Small networks learn: one batch to a named error, the prior to reconstruct, a loss to fall."""

from functools import partial

import pytest
import torch
from mmagic.structures import DataSample

SIZE = 32
COLORS = torch.tensor([[200, 140, 90], [60, 60, 60], [40, 150, 50], [70, 60, 190], [220, 220, 230]])


def scenes(count, seed=0):
    """Batch of label maps with instances, their images in the colors of the classes, shaded."""
    rng = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(-25, 25, SIZE)
    inputs = []
    for _ in range(count):
        ids = torch.zeros(SIZE, SIZE, dtype=torch.int64)
        ids[int(torch.randint(12, 20, (), generator=rng)) :] = 1
        for i in (2, 3):
            top, left = torch.randint(0, SIZE - 10, (2,), generator=rng).tolist()
            ids[top : top + 10, left : left + 10] = i
        classes = torch.tensor([0, 1, *torch.randint(2, 5, (2,), generator=rng).tolist()])
        label = classes[ids]
        image = COLORS[label].permute(2, 0, 1) + ramp[:, None]
        image = image.clamp(0, 255).byte()
        inputs.append(
            dict(img=image, label=label[None], instances=ids[None], instance_labels=classes)
        )
    return dict(inputs=inputs, data_samples=[DataSample() for _ in inputs])


@pytest.fixture
def train(tools):
    """Train the tiny model; give it with the log of every step."""

    def run(batches, **options):
        model = tools.build(
            dict(tools.MODEL, generator=tools.generator_cfg(modulated=True), **options)
        ).train()
        adam = partial(torch.optim.Adam, betas=(0.0, 0.99))
        wrappers = tools.make_wrappers(model, lr=2e-3, optimizer=adam)
        return model, [model.train_step(batch, wrappers) for batch in batches]

    return run


def test_one_batch_is_overfitted_to_a_tenth_of_the_range(train):
    """Mean absolute error of the generated images: 0.31 before, below 0.1 of [-1, 1] after."""
    batch = scenes(2)
    model, _ = train([batch] * 90, gan_loss=dict(type='SLNPGANLoss', saturating=False))
    fakes = torch.stack([sample.fake_img for sample in model.eval().val_step(batch)])
    reals = torch.stack([item['img'] for item in batch['inputs']])
    assert (fakes - reals).abs().mean() / 127.5 < 0.1


@pytest.mark.parametrize('discriminator', ['own', 'frozen'])
def test_feature_matching_falls_over_30_steps_of_new_scenes(discriminator, train, tools):
    options = dict(discriminator=tools.PRETRAINED) if discriminator == 'frozen' else {}
    _, logs = train([scenes(2, seed) for seed in range(30)], **options)
    values = [(log['loss_fm_g_s0'] + log['loss_fm_g_s1']).item() for log in logs]
    assert sum(values[-5:]) < 0.7 * sum(values[:5])


def test_prior_reconstructs_its_images(tools):
    """Mean absolute error: 0.43 before, below 0.1 of [-1, 1] after."""
    prior = tools.build(tools.PRIOR).train()
    optimizer = torch.optim.Adam(prior.parameters(), 5e-3)
    image = tools.build(tools.MODEL['data_preprocessor'])(scenes(8))['inputs']['img']
    for _ in range(150):
        losses = prior.loss(image)
        optimizer.zero_grad()
        (losses['loss_recon'] + losses['loss_kl']).backward()
        optimizer.step()
    assert losses['recon_mae'] < 0.1
