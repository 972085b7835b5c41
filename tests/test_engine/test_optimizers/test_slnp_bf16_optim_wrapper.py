import pytest
import torch
from torch import nn

from slnp_mm.engine.optimizers import SLNPBF16OptimWrapper


@pytest.mark.parametrize('fast, kind', [(True, torch.bfloat16), (False, torch.float32)])
def test_bfloat16_only_where_the_cpu_has_it(fast, kind, monkeypatch, recwarn):
    monkeypatch.setattr('torch.cpu._is_avx512_bf16_supported', lambda: fast)
    layer = nn.Linear(3, 2)
    wrapper = SLNPBF16OptimWrapper(torch.optim.SGD(layer.parameters(), lr=1.0))
    before = layer.weight.detach().clone()
    with wrapper.optim_context(layer):
        out = layer(torch.ones(4, 3))
    assert out.dtype == kind
    wrapper.update_params(out.float().mean())
    # d mean / d weight = 1/2: every output row is one of two
    torch.testing.assert_close(layer.weight, before - 0.5)
    assert layer.weight.dtype == torch.float32
    told = [str(w.message) for w in recwarn if 'bfloat16' in str(w.message)]
    sentence = 'this CPU has no bfloat16: float32 is used, which is faster here'
    assert told == ([] if fast else [sentence])
