"""Bytes of live tensors, by hand."""

import torch
from _live_bytes import LiveBytes


def test_tensors_count_while_they_live():
    held = torch.zeros(1000)
    with LiveBytes() as live:
        a = torch.ones(100)  # 400 bytes
        b = a.view(10, 10).t()  # none of its own
        held.add_(1)  # not made in here
        c = b + 1  # 400 more
        assert (live.now, live.peak) == (800, 800)
        del a, b
        assert (live.now, live.peak) == (400, 800)
        c = c.double()  # 800 beside the old 400
        assert (live.now, live.peak) == (800, 1200)


def test_what_autograd_keeps_counts():
    x = torch.zeros(100, requires_grad=True)
    with LiveBytes() as live:
        y = x.exp().sin()  # both results are kept, or their inputs: sin's is exp's result
        assert live.now == 800
        y.sum().backward()
        del y
        assert live.now == 400  # the gradient
    assert x.grad.numel() == 100
