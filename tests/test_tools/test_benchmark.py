"""tools/benchmark.py: its timing in turn, its counts, its arguments."""

import copy

import benchmark
import pytest
import torch
from mmengine.registry import DefaultScope


def test_calls_are_timed_in_turn_and_back(capsys):
    order = []
    calls = {name: (lambda name=name: order.append(name)) for name in 'ab'}
    times = benchmark.in_turn(calls, rounds=3)
    # each timing is two calls to warm up and one that counts
    assert ''.join(order) == 'aaabbbbbbaaaaaabbb'
    assert {name: len(found) for name, found in times.items()} == dict(a=3, b=3)
    assert 'medians' in capsys.readouterr().out


def test_times_are_seconds_by_the_clock_given():
    ticks = iter(range(0, 100, 7))
    clock = dict(timer=lambda: next(ticks))
    assert benchmark.in_turn(dict(a=lambda: None), 2, **clock) == dict(a=[7, 7])


def test_ratio_is_taken_round_by_round(capsys):
    benchmark.print_ratio(dict(a=[2.0, 9.0, 4.0], b=[1.0, 3.0, 4.0]), 'a', 'b')
    # 2, 3 and 1; the ratio of the medians would be 4 / 3
    assert capsys.readouterr().out == 'a / b: 2.00 (1.00 to 3.00)\n'


def test_gmac_of_a_convolution():
    conv = torch.nn.Conv2d(3, 5, 3, padding=1)
    image = torch.rand(2, 3, 8, 10)
    # every output number is a sum over 3 channels of 3 x 3
    macs = 2 * 5 * 8 * 10 * 3 * 3 * 3
    assert benchmark.count_gmac(lambda: conv(image)) == pytest.approx(macs / 1e9)


def test_batch_is_tiled_by_instances_of_one_class_each():
    (item,) = benchmark.make_batch(7, 8, 4)['inputs']
    assert item['img'].shape == (3, 8, 8) and item['img'].dtype == torch.uint8
    ids = item['instances'][0]
    assert ids[::4, ::4].tolist() == [[0, 1], [2, 3]]
    assert ids.unique(return_counts=True)[1].tolist() == [16] * 4
    assert item['label'].dtype == torch.uint8 and ids.dtype == torch.int16
    assert torch.equal(item['label'][0], item['instance_labels'][ids.long()].byte())


def test_amm_holds_exactly_one_buffer_more_than_adam(capsys):
    params = [torch.rand(shape) for shape in ((3, 5), (7,), (2, 2, 3, 3))]
    assert benchmark.compare_with_adam(params, 2) == 1
    assert 'AMM / Adam: ' in capsys.readouterr().out


def test_pix2pix_trains():
    """With 7 channels: both of its networks move."""
    with DefaultScope.overwrite_default_scope('mmagic'):
        model = benchmark.build_pix2pix(7, num_down=5)
        calls = benchmark.pix2pix_calls(model, 7, 32)
        before = copy.deepcopy(model.state_dict())
        assert calls['Pix2Pix image']().shape == (1, 3, 32, 32)
        calls['Pix2Pix step']()
    for part in ('generators', 'discriminators'):
        params = [item for item in model.named_parameters() if item[0].startswith(part)]
        assert any(not value.equal(before[name]) for name, value in params)


@pytest.mark.parametrize(
    'words, text',
    [
        (['amm', '--threads', '0'], "must be a whole number from 1, but got '0'"),
        (['nothing'], "invalid choice: 'nothing'"),
        (['amm', '--size', '64'], 'unrecognized arguments: --size 64'),
    ],
)
def test_bad_arguments_are_refused(words, text, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(words)
    assert text in capsys.readouterr().err


def test_each_part_has_a_config_that_exists(repository):
    for part in ('networks', 'loader', 'amm', 'exported'):
        args = benchmark.parse_args([part])
        assert benchmark.cli.read_config(args.config) and args.run.__name__ == part
