"""Augmentation against loops over pixels; labels and stages go along."""

import pytest
import torch
from torch.nn import functional as F

from slnp_mm.models.layers import SLNPDiffAugment
from slnp_mm.models.layers.diff_augment import AugmentParams

SIZE = 16  # of the lowest stage


def stages(batch=3):
    """Images by area and labels by stride, lowest stage first."""
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(batch, 3, 2 * SIZE, 2 * SIZE, generator=rng, dtype=torch.float64)
    label = torch.randint(0, 5, (batch, 2 * SIZE, 2 * SIZE), generator=rng, dtype=torch.int64)
    images = [F.avg_pool2d(image * 2 - 1, f) for f in (2, 1)]
    return images, [label[:, ::2, ::2], label]


def naive(image, label, params, index, factor):
    """One sample, pixel by pixel."""
    out, height, width = image.clone(), *label.shape
    if params.color is not None:
        add, saturation, contrast = params.color[index].tolist()
        for row in range(height):
            for col in range(width):
                pixel = [v + add for v in image[:, row, col].tolist()]
                grey = sum(pixel) / 3
                for c in range(3):
                    out[c, row, col] = (pixel[c] - grey) * saturation + grey
        mean = sum(out.flatten().tolist()) / out.numel()
        out = (out - mean) * contrast + mean
    before, old_label = out.clone(), label.clone()
    label = label.clone()
    down, right = (factor * v for v in params.shift[index].tolist())
    top, left = (factor * v for v in params.hole[index].tolist())
    side = factor * SIZE // 2
    for row in range(height):
        for col in range(width):
            r, c = row - down, col - right
            inside = 0 <= r < height and 0 <= c < width
            cut = top <= row < top + side and left <= col < left + side
            if inside and not cut:
                out[:, row, col] = before[:, r, c]
                label[row, col] = old_label[r, c]
            else:
                out[:, row, col], label[row, col] = 0, 255
    return out, label


def test_values_match_loop():
    augment = SLNPDiffAugment()
    images, labels = stages()
    params = AugmentParams(
        size=(SIZE, SIZE),
        color=torch.tensor([[0.2, 1.5, 0.7], [-0.4, 0.0, 1.3], [0, 1, 1]]),
        shift=torch.tensor([[2, -1], [0, 0], [-2, 2]]),
        hole=torch.tensor([[3, 5], [-4, 12], [8, -8]]),
    )
    new_images = augment.images(images, params)
    new_labels = augment.labels(labels, params)
    for k, factor in enumerate((1, 2)):
        for b in range(3):
            image, label = naive(images[k][b], labels[k][b], params, b, factor)
            torch.testing.assert_close(new_images[k][b], image)
            assert new_labels[k][b].equal(label)


def test_an_augmented_stage_is_the_higher_one_made_smaller():
    augment = SLNPDiffAugment()
    images, labels = stages(batch=8)
    params = augment.draw(labels[0])
    low, high = augment.images(images, params)
    torch.testing.assert_close(low, F.avg_pool2d(high, 2))
    low, high = augment.labels(labels, params)
    assert low.equal(high[:, ::2, ::2])


def test_label_and_image_move_together():
    augment = SLNPDiffAugment(('translation', 'cutout'))
    _, labels = stages(batch=8)
    labels = [label + 1 for label in labels]  # 0 is left for the filling
    painted = [label[:, None].double().expand(-1, 3, -1, -1) for label in labels]
    params = augment.draw(labels[0])
    images = augment.images(painted, params)
    for image, label in zip(images, augment.labels(labels, params)):
        gone = label == 255
        assert gone.any() and not gone.all()
        assert image[:, 0].equal(label.masked_fill(gone, 0).double())


def test_ranges_of_a_drawing():
    torch.manual_seed(0)
    params = SLNPDiffAugment().draw(torch.zeros(4000, SIZE, 2 * SIZE))
    for values, low, high in zip(params.color.unbind(1), (-0.5, 0.0, 0.5), (0.5, 2.0, 1.5)):
        assert low <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high
    for values, low, high in (
        (params.shift[:, 0], -2, 2),
        (params.shift[:, 1], -4, 4),
        (params.hole[:, 0], -4, 12),
        (params.hole[:, 1], -8, 24),
    ):
        assert values.unique().tolist() == list(range(low, high + 1))


def test_samples_differ_and_a_seed_repeats_them():
    augment, label = SLNPDiffAugment(), torch.zeros(2, SIZE, SIZE)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(augment.draw(label))
    assert drawn[0].color.equal(drawn[1].color)
    assert not drawn[0].color.equal(drawn[2].color)
    assert not drawn[0].color[0].equal(drawn[0].color[1])


def test_gradient_reaches_every_kept_pixel():
    images, labels = stages()
    image = images[1].clone().requires_grad_()
    augment = SLNPDiffAugment(('translation', 'cutout'))
    params = augment.draw(labels[0])
    augment.images([image], params)[0].sum().backward()
    kept = (augment.labels([labels[1]], params)[0] != 255).sum((1, 2))
    assert image.grad[:, 0].sum((1, 2)).equal(kept.double())
    assert set(image.grad.unique().tolist()) == {0.0, 1.0}


def test_gradient_of_all_policies_is_right():
    augment = SLNPDiffAugment()
    image = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    params = augment.draw(torch.zeros(2, 4, 4))
    assert torch.autograd.gradcheck(lambda x: augment.images([x], params)[0], image)


def test_empty_policy_is_the_identity_and_draws_nothing():
    augment = SLNPDiffAugment(())
    images, labels = stages()
    state = torch.get_rng_state()
    params = augment.draw(labels[0])
    assert torch.get_rng_state().equal(state)
    for new, old in zip(augment.images(images, params), images):
        assert new.equal(old)
    for new, old in zip(augment.labels(labels, params), labels):
        assert new.equal(old)


@pytest.mark.parametrize('policy', [('color', 'blur'), 'blur'])
def test_unknown_policy_is_named(policy):
    with pytest.raises(
        ValueError,
        match=r"policy must be out of \('color', 'translation', 'cutout'\), "
        r"but got 'blur'",
    ):
        SLNPDiffAugment(policy)
