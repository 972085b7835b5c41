"""The line of an iteration."""

from types import SimpleNamespace

import torch
from mmengine.logging import MessageHub

from slnp_mm.engine import SLNPLogProcessor


def test_line_is_short_and_files_get_all(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    hub = MessageHub('line')
    values = {
        'generator.lr': 4e-4,
        'discriminator.lr': 2e-4,
        'data_time': 0.0123,
        'time': 0.5,
        'loss_gan_d_real_s0': 1.0,
        'loss_gan_d_real_s1': 0.25,
        'd_real_s0': 0.5,
        'd_real_s1': 0.75,
        'fake_std': 0.3333,
    }
    for key, value in values.items():
        hub.update_scalar(f'train/{key}', value)
    loop = SimpleNamespace(dataloader=range(4))
    runner = SimpleNamespace(
        message_hub=hub, iter=99, max_iters=7300, _train_loop=loop, train_loop=loop, model=None
    )
    processor = SLNPLogProcessor(window_size=10, by_epoch=False)
    figures, line = processor.get_log_after_iter(runner, 99, 'train')
    assert figures == {**values, 'iter': 100}
    # 7200 iterations of half a second
    assert line == (
        'Iter(train) [ 100/7300]  eta: 1:00:00  0.5 s (0.012 data)  generator.lr 0.0004  '
        'discriminator.lr 0.0002  gan_d_real 1.25  d_real 0.625  fake_std 0.333'
    )
