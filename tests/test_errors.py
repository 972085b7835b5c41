"""One sentence for what a user can mend, a traceback for a bug."""

import os
import signal

import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset
from torch.utils.data import DataLoader, Dataset

from slnp_mm.checkpoint import history_statistic
from slnp_mm.datasets import SLNPFlip
from slnp_mm.errors import CorruptFileError, DataError, SLNPError, check_device, one_sentence


class _Refusing(Dataset):
    """Refuses its one sample as a data set or transform does."""

    def __init__(self, kind):
        self.kind = kind

    def __len__(self):
        return 1

    def __getitem__(self, idx):
        try:
            raise KeyError('inside')
        except KeyError as error:
            raise self.kind('a.png holds the id 7: expected\n0 to 3') from error


def _caught(call, *args):
    try:
        call(*args)
    except Exception as error:  # noqa: B902
        return error
    raise AssertionError('nothing was raised')


@pytest.mark.parametrize(
    'device, count, sentence',
    [
        ('gpu', 0, 'must be cpu, cuda or cuda:N'),
        ('meta', 0, 'must be cpu, cuda or cuda:N'),
        ('', 0, 'must be cpu, cuda or cuda:N'),
        ('cuda', 0, 'cuda was asked for, but torch'),
        ('cuda:2', 2, 'cuda:0 to cuda:1'),
    ],
)
def test_device_that_is_none_or_not_there_is_refused(device, count, sentence, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: count > 0)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
    for good in ('cpu', 'cuda:1')[: 1 + bool(count)]:
        assert check_device(good) == good
    with pytest.raises(SLNPError, match=sentence):
        check_device(device)


def test_children_of_one_error():
    assert issubclass(CorruptFileError, DataError) and issubclass(DataError, SLNPError)
    assert issubclass(SLNPError, ValueError)
    assert DataError('text', 'id').kind == 'id' and DataError('text').kind == 'data'
    assert str(SLNPError('\udcff.png')) == r'\udcff.png'


def test_our_own_errors_have_a_sentence_and_a_bug_has_none():
    assert one_sentence(SLNPError('two\n  lines')) == 'two lines'
    error = _caught(history_statistic, dict, 'mean')
    assert one_sentence(error).startswith('a checkpoint may look up only')
    assert one_sentence(_caught(lambda: 1 / 0)) is None
    assert one_sentence(_caught(int, 'x')) is None


@pytest.mark.parametrize('kind', [SLNPError, DataError, CorruptFileError])
def test_a_worker_raises_the_same_error(kind):
    error = _caught(next, iter(DataLoader(_Refusing(kind), num_workers=1)))
    assert type(error) is kind
    assert str(error) == 'a.png holds the id 7: expected\n0 to 3\n'
    assert one_sentence(error) == 'a.png holds the id 7: expected 0 to 3'


class _Dying(Dataset):
    """As if the system had killed the worker for lack of memory."""

    def __len__(self):
        return 1

    def __getitem__(self, idx):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_has_a_sentence():
    """pytorch issue 8976, maskrcnn-benchmark issue 195."""
    error = _caught(next, iter(DataLoader(_Dying(), num_workers=1)))
    sentence = one_sentence(error)
    assert sentence.startswith('a data loading process was killed, most likely for lack of mem')
    other = SyntaxError('mmengine could not set the config')  # what it raises of any error
    other.__context__ = error
    assert one_sentence(other) == sentence


def _joined(*colors):
    """ConcatDataset of sets whose palettes differ."""
    sets = [BaseDataset(metainfo=dict(palette=color), lazy_init=True) for color in colors]
    return ConcatDataset(sets, lazy_init=True)


def _raise(error):
    raise error


@pytest.mark.parametrize(
    'call, sentence',
    [
        (lambda: _joined([1], [2]), 'parts of a ConcatDataset have different classes or colors'),
        (lambda: _raise(torch.OutOfMemoryError('CUDA out of memory. Tried')), 'lower batch_size'),
        (
            lambda: _raise(RuntimeError('[/x/gloo/transport/tcp/pair.cc:538] Connection closed')),
            'its message says why',
        ),
        (lambda: open('/dev/null/x', 'w'), 'choose another folder'),
        (lambda: os.mkdir('/'), 'choose another folder'),
        (lambda: SLNPFlip(p=1), "keyword argument 'p': correct the key in the config; CHANGELOG"),
    ],
)
def test_errors_of_others_that_a_setting_causes_have_a_sentence(call, sentence):
    found = one_sentence(_caught(call))
    assert sentence in found and '\n' not in found
