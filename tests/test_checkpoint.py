"""Checkpoints of mmengine load with ``weights_only`` left on."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import BaseLoop

from slnp_mm.checkpoint import check_classes, history_statistic
from slnp_mm.engine import SLNPPreflightHook
from slnp_mm.errors import SLNPError


def test_buffer_statistics_work_after_loading(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0, 6.0], [1, 1, 1])
    torch.save({'buffer': buffer, 'best': np.float64(0.5)}, tmp_path / 'a.pth')
    loaded = torch.load(tmp_path / 'a.pth', weights_only=True)
    assert loaded['buffer'].statistics('mean') == 3.0
    assert loaded['buffer'].statistics('max') == 6.0
    assert loaded['best'] == 0.5


class _Evil:
    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


class _Call:
    def __reduce__(self):
        return print, ('reached',)


REFUSED = pickle.UnpicklingError, ValueError
OBJECTS = np.array([{'a': 1}], dtype=object)


@pytest.mark.parametrize(
    'thing, error', [(_Evil(), REFUSED), (_Call(), REFUSED), (OBJECTS, pickle.UnpicklingError)]
)
def test_other_code_and_objects_stay_forbidden(tmp_path, thing, error, capsys):
    torch.save({'thing': thing}, tmp_path / 'evil.pth')
    with pytest.raises(error):
        torch.load(tmp_path / 'evil.pth', weights_only=True)
    assert 'reached' not in capsys.readouterr().out


@pytest.mark.parametrize(('owner', 'name'), [(HistoryBuffer, '__class__'), (dict, 'mean')])
def test_other_attributes_are_refused(owner, name):
    with pytest.raises(ValueError, match='may look up only the statistics'):
        history_statistic(owner, name)


TRAINED = dict(
    classes=('sky', 'road', 'car'), palette=np.array([[0, 0, 9], [5, 5, 5], [200, 0, 0]])
)
MOVED = '(1 is road in the checkpoint, car in the config; 2 is car in the checkpoint, road in the '


@pytest.mark.parametrize(
    'metainfo, text',
    [
        (dict(classes=['sky', 'car', 'road']), MOVED),
        (dict(classes=['sky', 'street', 'road']), '2 is car in the checkpoint, road in the config'),
        (dict(classes=['sky', 'road']), 'different classes than the config has: 3, not 2'),
        (dict(palette=[[5, 5, 5], [0, 0, 9], [200, 0, 0]]), 'metainfo.palette in the order of the'),
    ],
)
def test_other_order_of_classes_or_colors_is_refused(metainfo, text):
    with pytest.raises(SLNPError) as error:
        check_classes(dict(meta=dict(dataset_meta=TRAINED)), metainfo, 'a.pth')
    assert str(error.value).startswith('a.pth was trained with different ')
    assert text in str(error.value)


def test_new_name_or_color_is_a_warning_and_the_same_is_none(monkeypatch):
    said = []
    monkeypatch.setattr('slnp_mm.checkpoint.print_log', lambda text, **_: said.append(text))
    palette = TRAINED['palette'].tolist()
    checkpoint = dict(meta=dict(dataset_meta=TRAINED))
    for stored in (checkpoint, dict(state_dict={}), dict(meta=dict(dataset_meta=None))):
        check_classes(stored, dict(classes=['sky', 'road', 'car'], palette=palette), 'a.pth')
    assert said == []
    new = dict(classes=['sky', 'street', 'car'], palette=[[1, 1, 1], *palette[1:]])
    check_classes(checkpoint, new, 'a.pth')
    assert '1 is road in the checkpoint, street in the config' in said[0]
    assert 'treated as renamed classes' in said[0]
    assert '[0, 0, 9] in the checkpoint, [1, 1, 1] in the config' in said[1] and len(said) == 2


@pytest.mark.parametrize('resume, training', [(True, True), (False, False), (False, True)])
def test_run_that_resumes_or_tests_with_another_order_ends(resume, training):
    other = SimpleNamespace(metainfo=dict(classes=('car', 'road', 'sky')))

    class Loop(BaseLoop):
        def __init__(self):
            self.dataloader = SimpleNamespace(dataset=other)

        def run(self):
            """Not called."""

    loops = dict(_train_loop=Loop() if training else dict(), _test_loop=Loop())
    runner = SimpleNamespace(_resume=resume, _load_from='b.pth', **loops)
    checkpoint = dict(meta=dict(dataset_meta=TRAINED))
    if training and not resume:  # a new training from these weights may have other classes
        return SLNPPreflightHook().after_load_checkpoint(runner, checkpoint)
    with pytest.raises(SLNPError, match='b.pth was trained with different classes'):
        SLNPPreflightHook().after_load_checkpoint(runner, checkpoint)
