"""A discriminator on frozen features: what may move, what may not, how the label enters."""

import copy
import io

import pytest
import timm
import torch
from mmengine.model import revert_sync_batchnorm
from torch import nn
from torch.nn import functional as F

from slnp_mm.errors import SLNPError
from slnp_mm.models import SLNPPretrainedDiscriminator, StageDiscriminators
from slnp_mm.models.layers import lite_state_dict
from slnp_mm.models.layers.pretrained_features import CHANNELS, PretrainedFeatures

CLASSES = 5


def make(**options):
    torch.manual_seed(0)
    return SLNPPretrainedDiscriminator(CLASSES, **{'channels': 8, 'embed_channels': 8, **options})


def pair(size=64, batch=2):
    rng = torch.Generator().manual_seed(1)
    image = torch.rand(batch, 3, size, size, generator=rng) * 2 - 1
    label = torch.randint(0, CLASSES, (batch, size, size), generator=rng)
    label[0, :3] = CLASSES
    return image, label


def test_features_have_the_strides_channels_and_scale():
    features = PretrainedFeatures()
    image = pair(64)[0]
    raw = features.network(image)
    for i, (feature, scale) in enumerate(zip(features(image), (6.5, 8.8, 8.2, 7.5, 3.0))):
        assert feature.shape == (2, CHANNELS[i], 32 >> i, 32 >> i)
        torch.testing.assert_close(feature, raw[i] / scale)


def test_norms_are_folded_and_change_nothing():
    stored = lite_state_dict(0)
    plain = timm.create_model('tf_efficientnet_lite0', features_only=True, pretrained=False)
    plain.load_state_dict({key: stored[key] for key in plain.state_dict()})
    folded = PretrainedFeatures().network
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    image = pair(64)[0]
    for one, other in zip(folded(image), plain.eval()(image)):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('size', [32, 64])
def test_decisions_have_the_documented_shape(size):
    image, label = pair(size)
    [output] = make()([image], label)
    assert output.logits.shape == (2, 4, 8, 8)
    assert len(output.features) == 6
    torch.testing.assert_close(output.features[0], F.avg_pool2d(image, 2))


@pytest.mark.parametrize('factor', [1.5, (1.2, 1.8)])
@pytest.mark.parametrize('size, upsampled', [(64, 96), (72, 112), (224, 224)])
def test_small_images_are_upsampled_for_the_frozen_network(size, upsampled, factor):
    """Outside of a training step, a range means its mean."""
    image, label = pair(size)
    net = make(upsample_factor=factor)
    [output] = net([image], label)
    torch.testing.assert_close(output.features[0], F.avg_pool2d(image, 2))
    large = F.interpolate(image, size=(upsampled, upsampled), mode='bilinear')
    for feature, want in zip(output.features[1:], net._frozen[0](large)):
        torch.testing.assert_close(feature, want)
    assert output.logits.shape == (2, 4, 8, 8)


def test_one_factor_is_drawn_a_step_for_all_stages():
    net = StageDiscriminators([make(upsample_factor=[1.2, 1.8]) for _ in range(2)])
    sides = []
    for stage in net.stages:
        stage._frozen[0].register_forward_pre_hook(lambda _, args: sides.append(args[0].shape[-1]))
    images, labels = zip(pair(64), pair(128))
    torch.manual_seed(3)
    for _ in range(3):
        with net.step():
            net([images, [image.clone() for image in images]], labels)
    torch.manual_seed(3)
    want = []
    for _ in range(3):
        factor = float(torch.empty(()).uniform_(1.2, 1.8))
        want += [int(round(factor * side / 8)) * 8 for side in (64, 64, 128, 128)]
    assert sides == want and len(set(want)) > 2


def test_features_are_computed_once_an_image_within_a_step():
    net, passes = StageDiscriminators([make()]), []
    net.stages[0]._frozen[0].register_forward_hook(lambda *_: passes.append(1))
    (image, label), other = pair(), pair()[0] / 2
    with net.step():
        [first], [changed] = net([[image], [other]], [label])
        assert not changed.logits.equal(first.logits)
        [[again]] = net([[image]], [label])
    assert len(passes) == 2
    torch.testing.assert_close(again.logits, first.logits)
    assert again.features[1] is first.features[1]
    [[anew]] = net([[image]], [label])
    assert anew.logits.equal(again.logits)
    assert len(passes) == 3


def test_batches_are_judged_one_by_one():
    image, label = pair()
    net, batches = make().double(), [image.double(), image.double() / 2]
    for found, batch in zip(net(batches, label), batches):
        [want] = net([batch], label)
        torch.testing.assert_close(found.logits, want.logits)
        assert all(map(torch.equal, found.features, want.features))


@pytest.mark.parametrize('detach', [True, False])
def test_detached_images_get_no_gradient(detach):
    net = make()
    image, label = pair()
    net([image.requires_grad_()], label, detach)[0].logits.sum().backward()
    assert (image.grad is None) == detach
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize('factor', [0.5, (0.9, 2), (1.8, 1.2)])
def test_a_factor_below_one_or_no_range_is_refused(factor):
    with pytest.raises(ValueError, match='upsample_factor must be a number >= 1 or a range'):
        make(upsample_factor=factor)


def test_former_name_of_the_factor_is_refused():
    with pytest.raises(SLNPError, match='enlarge .* is now called upsample_factor'):
        make(enlarge=1.5)


def test_frozen_network_is_nobodys():
    """Not in parameters, state dict, train() or a conversion of norms; never moved by a step."""
    net = make()
    before = copy.deepcopy(net._frozen[0].state_dict())
    assert not any('frozen' in name or 'network' in name for name, _ in net.named_modules())
    assert sum(p.numel() for p in net.parameters()) < 100_000
    saved = io.BytesIO()
    torch.save(net.state_dict(), saved)
    assert saved.tell() < 500_000

    net.train()
    nn.SyncBatchNorm.convert_sync_batchnorm(net)
    revert_sync_batchnorm(net)
    for parameter in net.parameters():
        parameter.requires_grad = True
    net.requires_grad_(True)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for _ in range(2):
        image, label = pair()
        [output] = net([image.requires_grad_()], label)
        (output.logits.sum() + sum(f.sum() for f in output.features)).backward()
        optimizer.step()

    frozen = net._frozen[0]
    assert not any(m.training for m in frozen.modules())
    assert not any(p.requires_grad or p.grad is not None for p in frozen.parameters())
    for key, value in frozen.state_dict().items():
        assert value.equal(before[key]), key


def test_frozen_network_follows_the_heads():
    net = make().double()
    assert all(p.dtype == torch.float64 for p in net._frozen[0].parameters())
    assert net([pair()[0].double()], pair()[1])[0].logits.dtype == torch.float64


def test_gradients_reach_the_image_and_every_trained_weight(tools):
    net = make()
    image, label = pair()
    net([image.requires_grad_()], label)[0].logits.square().sum().backward()
    assert image.grad.abs().sum() > 0
    tools.assert_gradients(net)


def test_the_label_matters():
    net = make()
    image, label = pair()
    [one], [other] = net([image], label), net([image], label.flip(1))
    assert not one.logits.equal(other.logits)


def test_averaged_class_vectors_are_added_to_the_features():
    """At stride 32 the grid is one cell of a 32 px image: by a loop over its pixels."""
    net = make().double()
    image, label = pair(32, batch=1)
    image = image.double()
    mean = sum(net.embedding.weight[i] for i in label.flatten().tolist()) / label.numel()
    head, feature = net.heads[-1], net([image], label)[0].features[-1]
    told = head.feature(feature) + head.label(mean[None, :, None, None])
    want = head.decide(head.body(told))[0, 0, 0, 0]
    logits = net([image], label)[0].logits[0, 3]
    torch.testing.assert_close(logits, want.expand(8, 8))
