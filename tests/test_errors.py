"""One sentence for what a user can mend, a traceback for a bug."""

import os

import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset
from torch.utils.data import DataLoader, Dataset

from slnp_mm.checkpoint import history_statistic
from slnp_mm.errors import SLNPError, check_device, check_file, one_sentence


class _Refusing(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, idx):
        return history_statistic(dict, 'mean')


def _caught(call, *args):
    try:
        call(*args)
    except Exception as error:  # noqa: B902
        return error
    raise AssertionError('nothing was raised')


def test_check_file_names_what_and_remedy(tmp_path):
    with pytest.raises(SLNPError, match='no config at .*a.py: look again'):
        check_file(tmp_path / 'a.py', 'config', 'look again')
    (tmp_path / 'a.py').touch()
    assert check_file(tmp_path / 'a.py', 'config', '') == tmp_path / 'a.py'


@pytest.mark.parametrize('device', ['gpu', 'meta', ''])
def test_check_device_refuses_other_names(device):
    with pytest.raises(SLNPError, match='must be cpu, cuda or cuda:N'):
        check_device(device)


def test_check_device_without_cuda_takes_the_cpu_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert check_device('cpu') == 'cpu'
    with pytest.raises(SLNPError, match='cuda was asked for, but torch'):
        check_device('cuda')


def test_check_device_says_how_many_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    assert check_device('cuda:1') == 'cuda:1'
    with pytest.raises(SLNPError, match='cuda:0 to cuda:1'):
        check_device('cuda:2')


def test_sentence_of_our_own_errors():
    error = _caught(history_statistic, dict, 'mean')
    assert one_sentence(error).startswith('a checkpoint may look up only')
    assert one_sentence(SLNPError('two\n  lines')) == 'two lines'


def test_sentence_of_an_error_with_a_cause():
    outer = RuntimeError('while building')
    outer.__cause__ = _caught(history_statistic, dict, 'mean')
    assert 'may look up only' in one_sentence(outer)


def test_sentence_from_a_worker_process():
    loader = DataLoader(_Refusing(), num_workers=1)
    error = _caught(next, iter(loader))
    assert one_sentence(error).startswith('a checkpoint may look up only')
    assert '\n' not in one_sentence(error)


def test_a_bug_has_no_sentence():
    assert one_sentence(_caught(lambda: 1 / 0)) is None
    assert one_sentence(_caught(int, 'x')) is None


def _joined(*colors):
    """ConcatDataset of sets whose palettes differ."""
    sets = [BaseDataset(metainfo=dict(palette=color), lazy_init=True) for color in colors]
    return ConcatDataset(sets, lazy_init=True)


def _batch_of_one():
    torch.nn.BatchNorm2d(2)(torch.zeros(1, 2, 1, 1))


def _tiny_picture():
    torch.nn.Conv2d(1, 1, 4)(torch.zeros(1, 1, 2, 2))


def _raise(error):
    raise error


@pytest.mark.parametrize(
    'call, sentence',
    [
        (_batch_of_one, 'set batch_size of the loader to 2 or more'),
        (_tiny_picture, 'raise image_size of the data set'),
        (lambda: torch.nn.InstanceNorm2d(2)(torch.zeros(1, 2, 1, 1)), 'raise image_size of the'),
        (lambda: _joined([1], [2]), 'the parts of a ConcatDataset have other classes or colors'),
        (lambda: _raise(torch.OutOfMemoryError('CUDA out of memory. Tried')), 'lower batch_size'),
        (lambda: open('/dev/null/x', 'w'), 'choose another folder'),
        (lambda: os.mkdir('/'), 'choose another folder'),
    ],
)
def test_errors_of_others_that_a_setting_causes_have_a_sentence(call, sentence):
    found = one_sentence(_caught(call))
    assert sentence in found and '\n' not in found
