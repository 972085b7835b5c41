"""The chain of stages: invariances, switches, gradients and memory."""

import pytest
import torch
from _live_bytes import LiveBytes
from torch.utils._python_dispatch import TorchDispatchMode

from slnp_mm.models.generators.slnp_generator import classes_as_instances

VARIANTS = dict(
    paper={},
    modulated=dict(modulated=True),
    no_attention=dict(attention=False),
    one_stage=dict(stages=1),
    one_stage_modulated=dict(stages=1, modulated=True),
    no_instances=dict(instance_pathway=False),
    three_stages=dict(stages=3),
)


def make(tools, **options):
    return tools.build(tools.generator_cfg(**options))


@pytest.fixture
def inputs(tools):
    ids, labels, label = tools.make_instances(32)
    return dict(label=label, instances=ids, instance_labels=labels, noise=torch.randn(2, 4, 2, 2))


def without_instances(inputs):
    return {
        **inputs,
        'instances': torch.full_like(inputs['instances'], -1),
        'instance_labels': torch.full_like(inputs['instance_labels'], -1),
    }


def assert_same_images(net, inputs, changed):
    """In float64, since sums are taken in another order."""
    noise = inputs['noise'].double()
    net.double()
    images, others = (net(**{**given, 'noise': noise}).images for given in (inputs, changed))
    torch.testing.assert_close(images, others, rtol=0, atol=1e-12)


@pytest.mark.parametrize('size', [32, 48])
@pytest.mark.parametrize('stages', [1, 2, 3])
def test_every_stage_doubles_the_size(stages, size, tools):
    ids, labels, label = tools.make_instances(size)
    net = make(tools, stages=stages)
    output = net(label, ids, labels, torch.randn(2, 4, 2, 2))
    assert [tuple(image.shape) for image in output.images] == [
        (2, 3, size >> k, size >> k) for k in reversed(range(stages))
    ]
    assert output.attention == []


@pytest.mark.parametrize('name', VARIANTS)
def test_every_parameter_gets_a_finite_gradient(name, inputs, tools):
    net = make(tools, **VARIANTS[name])
    images = net(**inputs).images
    sum((image * torch.randn_like(image)).sum() for image in images).backward()
    tools.assert_gradients(net)


@pytest.mark.parametrize('name', VARIANTS)
def test_permuted_instances_give_the_same_image(name, inputs, tools):
    order = torch.tensor([3, 0, 5, 1, 4, 2])  # new slot j holds order[j]
    slot = torch.full((tools.SLOTS + 1,), -1)
    slot[order + 1] = torch.arange(tools.SLOTS)
    permuted = {
        **inputs,
        'instances': slot[inputs['instances'] + 1],
        'instance_labels': inputs['instance_labels'][:, order],
    }
    assert not permuted['instances'].equal(inputs['instances'])
    assert_same_images(make(tools, **VARIANTS[name]), inputs, permuted)


@pytest.mark.parametrize('name', VARIANTS)
def test_padding_changes_nothing(name, inputs, tools):
    """More empty slots and an empty layer."""
    padded = {
        **inputs,
        'instances': torch.nn.functional.pad(inputs['instances'], (0, 0, 0, 0, 0, 1), value=-1),
        'instance_labels': torch.nn.functional.pad(inputs['instance_labels'], (0, 20), value=-1),
    }
    assert_same_images(make(tools, **VARIANTS[name]), inputs, padded)


def test_same_noise_repeats_bit_for_bit(inputs, tools):
    net = make(tools)
    for one, other in zip(net(**inputs).images, net(**inputs).images):
        assert one.equal(other)


@pytest.mark.parametrize('modulated', [False, True])
@pytest.mark.parametrize('key', ['noise', 'label'])
def test_another_noise_or_label_changes_every_stage(key, modulated, inputs, tools):
    net = make(tools, modulated=modulated)
    other = dict(noise=inputs['noise'].flip(0), label=(inputs['label'] + 1) % tools.CLASSES)
    for one, two in zip(net(**inputs).images, net(**{**inputs, key: other[key]}).images):
        assert (one - two).abs().mean() > 1e-4


def test_noise_reaches_instances_apart_from_each_other(inputs, tools):
    """Noise under one instance changes its code, not a distant one's."""
    net = make(tools).global_generator
    ids, labels, label = tools.make_instances(16)
    noise = inputs['noise'].clone()
    codes = net(label, ids, labels, noise)[2]
    noise[1, :, :, 0] += 1  # image 1, left half: instance 0
    moved = (net(label, ids, labels, noise)[2] - codes).abs().amax(-1)
    assert moved[1, 0] > 1e-3
    assert moved[1, 1] == 0 and moved[1, 2] == 0


def test_without_instance_pathway_instances_are_not_read(inputs, tools):
    net = make(tools, instance_pathway=False)
    none = without_instances(inputs)
    assert net(**inputs).images[-1].equal(net(**none).images[-1])
    full = make(tools)
    assert not full(**inputs).images[-1].equal(full(**none).images[-1])


def test_classes_as_instances_lists_what_is_there():
    label = torch.tensor([[[0, 2], [3, 2]], [[1, 1], [1, 1]]])
    ids, classes = classes_as_instances(label, 3)
    assert ids.tolist() == [[[[0, 2], [-1, 2]]], [[[1, 1], [1, 1]]]]
    assert classes.tolist() == [[0, -1, 2], [-1, 1, -1]]


def test_an_image_without_instances_stays_finite(inputs, tools):
    none = {**without_instances(inputs), 'label': torch.full_like(inputs['label'], tools.CLASSES)}
    images = make(tools)(**none).images
    assert all(image.isfinite().all() for image in images)


def test_attention_is_returned_on_request(inputs, tools):
    output = make(tools, stages=3)(**inputs, return_attention=True)
    assert [tuple(w.shape) for w in output.attention] == [(2, 16, tools.SLOTS)] * 2
    torch.testing.assert_close(output.attention[0].sum(-1), torch.ones(2, 16))


class LargestTensor(TorchDispatchMode):
    """Keeps the numel of the largest tensor any operation returned."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for item in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(item, torch.Tensor):
                self.numel = max(self.numel, item.numel())
        return out


def largest_tensor(net, slots):
    """Largest tensor of a forward and backward pass with T = slots."""
    ids = torch.randint(0, slots, (1, 2, 32, 32))
    labels = torch.zeros(1, slots, dtype=torch.int64)
    with LargestTensor() as seen:
        output = net(ids[:, 0] % 5, ids, labels, torch.zeros(1, 4, 2, 2), return_attention=True)
        sum(image.sum() for image in output.images).backward()
    return seen.numel


@pytest.mark.parametrize('modulated', [False, True])
def test_no_tensor_of_instances_times_pixels_ever_exists(modulated, tools):
    """V is (D, H/4, W/4) = 8 x 8 x 8 here; T = 200 of it never."""
    net = make(tools, modulated=modulated)
    few, many = largest_tensor(net, 4), largest_tensor(net, 200)
    assert many == few
    assert many < 200 * 8 * 8 * 8


def test_the_watch_for_large_tensors_sees_an_outer_product():
    with LargestTensor() as seen:
        torch.einsum('thw,td->tdhw', torch.ones(200, 8, 8), torch.ones(200, 8)).amax(0)
    assert seen.numel == 200 * 8 * 8 * 8


def test_size_that_strides_cannot_divide_is_refused(inputs, tools):
    inputs['label'] = inputs['label'][:, :30]
    text = 'multiples of 8, but got 30 x 32; change image_size of the dataset'
    with pytest.raises(ValueError, match=text):
        make(tools)(**inputs)


def test_noise_of_another_shape_is_refused(inputs, tools):
    inputs['noise'] = inputs['noise'][:, :3]
    text = r'Expected noise of shape \(B, \(4, 2, 2\)\), but got \(2, 3, 2, 2\)'
    with pytest.raises(ValueError, match=text):
        make(tools)(**inputs)


@pytest.mark.parametrize('autocast', [False, True])
def test_checkpointed_blocks_give_the_same_gradients_in_less_memory(autocast, inputs, tools):
    grads, peaks = [], []
    for with_cp in (False, True):
        net = make(tools, modulated=True, with_cp=with_cp)
        with LiveBytes() as live:
            with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
                images = net(**inputs).images
            sum(image.float().square().sum() for image in images).backward()
        grads.append([parameter.grad for parameter in net.parameters()])
        peaks.append(live.peak)
    assert all(one.equal(other) for one, other in zip(*grads))
    assert peaks[1] < peaks[0]
