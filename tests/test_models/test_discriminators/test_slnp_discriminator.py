import pytest
import torch
from torch.nn import functional as F

from slnp_mm.models import SLNPDiscriminator
from slnp_mm.models.discriminators import StageDiscriminators

CLASSES = 5


def make(**options):
    return SLNPDiscriminator(
        CLASSES, base_channels=8, max_channels=16, embed_channels=4, **{'num_layers': 2, **options}
    )


@pytest.fixture
def pair(tools):
    _, _, label = tools.make_instances(16)
    return torch.rand(2, 3, 16, 16) * 2 - 1, label


@pytest.mark.parametrize('size', [16, 32])
@pytest.mark.parametrize('layers', [1, 3])
def test_decision_map_and_features_have_the_strides(size, layers):
    net = make(num_layers=layers)
    [out] = net([torch.rand(1, 3, size, size)], torch.zeros(1, size, size, dtype=torch.int64))
    assert out.logits.shape == (1, 1, size >> layers, size >> layers)
    assert [f.shape[1] for f in out.features] == [8, 16, 16][:layers]
    assert [f.shape[-1] for f in out.features] == [size >> i for i in range(1, layers + 1)]


def test_forward_is_figure_7_in_one_hot_form(pair):
    """Concatenate, halve, tile FC(V_label), join, decide: in float64."""
    image, label = pair
    image = image.double()
    net = make(norm='none').double()
    one_hot = F.one_hot(label, CLASSES + 1).permute(0, 3, 1, 2).double()
    embedded = torch.einsum('bchw,cd->bdhw', one_hot, net.embedding.weight)
    x = torch.cat([image, embedded], 1)
    for layer in net.layers:
        x = F.leaky_relu(F.conv2d(x, layer[0].weight, layer[0].bias, stride=2, padding=1), 0.2)
    v_label = net.label_fc(embedded.mean((2, 3)))
    tiled = v_label[:, :, None, None].expand_as(x)
    joined = F.leaky_relu(net.join(torch.cat([x, tiled], 1)), 0.2)
    torch.testing.assert_close(net([image], label)[0].logits, net.decide(joined))


@pytest.mark.parametrize('norm', ['instance', 'none'])
def test_every_parameter_gets_a_finite_gradient(norm, pair, tools):
    net = make(norm=norm)
    image, label = pair
    [out] = net([image], label)
    (out.logits.square().mean() + sum(f.square().mean() for f in out.features)).backward()
    tools.assert_gradients(net, idle_biases=True)


def test_the_label_matters(pair):
    image, label = pair
    net = make().eval()
    [one], [other] = net([image], label), net([image], label.flip(2))
    assert not one.logits.equal(other.logits)


def test_stages_are_judged_by_their_own_network(pair):
    image, label = pair
    nets = [make(), make()]
    small, small_label = image[..., ::2, ::2], label[..., ::2, ::2]
    [outputs] = StageDiscriminators(nets)([[small, image]], [small_label, label])
    assert outputs[0].logits.equal(nets[0]([small], small_label)[0].logits)
    assert outputs[1].logits.equal(nets[1]([image], label)[0].logits)


@pytest.mark.parametrize('norm', ['instance', 'none'])
def test_batches_are_judged_one_by_one(norm, pair):
    """In one pass, and in float64 the same as in one pass each."""
    image, label = pair
    net, batches = make(norm=norm).double(), [image.double(), image.double().flip(0) / 2]
    for found, batch in zip(net(batches, label), batches):
        [want] = net([batch], label)
        torch.testing.assert_close(found, want)


@pytest.mark.parametrize('detach', [True, False])
def test_detached_images_get_no_gradient(detach, pair):
    image, label = pair
    net = make()
    net([image.requires_grad_()], label, detach)[0].logits.sum().backward()
    assert (image.grad is None) == detach
    assert net.layers[0][0].weight.grad.any()


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="norm must be one of .* but got 'batch'"):
        make(norm='batch')
