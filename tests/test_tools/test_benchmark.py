"""tools/benchmark.py: its timing in turn, its batches, its figures."""

import benchmark
import pytest
import torch
from mmengine.config import Config


def test_calls_are_timed_in_turn_and_back():
    order = []
    calls = {name: (lambda name=name: order.append(name)) for name in 'ab'}
    times = benchmark.in_turn(calls, rounds=3)
    # each timing is two calls to warm up and one that counts
    assert ''.join(order) == 'aaabbbbbbaaaaaabbb'
    assert {name: len(found) for name, found in times.items()} == dict(a=3, b=3)
    ticks = iter(range(0, 100, 7))
    assert benchmark.in_turn(dict(a=int), 2, timer=lambda: next(ticks)) == dict(a=[7, 7])


def test_ratio_is_taken_round_by_round(capsys):
    benchmark.print_ratio(dict(a=[2.0, 9.0, 4.0], b=[1.0, 3.0, 4.0]), 'a', 'b')
    # 2, 3 and 1; the ratio of the medians would be 4 / 3
    assert capsys.readouterr().out == 'a / b: 2.00 (1.00 to 3.00)\n'


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


def test_work_of_the_product_and_of_the_steps_is_printed(repository, tiny, tmp_path, capsys):
    cfg = Config.fromfile('configs/slnp_toy.py')
    tiny.narrow(cfg.model)
    for network in (cfg.model.generator.global_generator, *cfg.model.generator.refiners):
        network.num_blocks = 1  # counting takes long
    cfg.dump(tmp_path / 'narrow.py')
    words = ['--config', str(tmp_path / 'narrow.py'), '--rounds', '1', '--size', '64']
    benchmark.main(['networks', *words])
    lines = capsys.readouterr().out.splitlines()
    # a product of 1024 rows is 2^30 multiply-adds and one result of 4 MB
    (at,) = (i for i, line in enumerate(lines) if line.startswith('product: '))
    assert lines[at].endswith(' images/s, 1.1 GMAC/image') and lines[at + 1].endswith(', 4 MB')
    assert [line.split(':')[0] for line in lines if ' / product: ' in line][1:] == [
        f'{name} / product' for name in ('image', 'step, T = 64', 'step, T = 4')
    ]
    assert lines[-1].startswith('step, T = 64 / step, T = 4: ')


@pytest.mark.parametrize(
    'words, text',
    [
        (['amm', '--rounds', '0'], "must be a whole number from 1, but got '0'"),
        (['loader'], "invalid choice: 'loader'"),
    ],
)
def test_bad_arguments_are_refused(words, text, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(words)
    assert text in capsys.readouterr().err


def test_graphs_on_a_cpu_are_refused(capsys):
    with pytest.raises(SystemExit):
        benchmark.main(['networks', '--cuda-graph'])
    assert '--cuda-graph needs --device cuda' in capsys.readouterr().err
