"""The stand-in for mmcv's operators is there only where mmcv has none."""

import sys

import mmcv
import pytest
from mmcv.utils.ext_loader import check_ops_exist, load_ext

from slnp_mm.mmcv_ops import provide_operators


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The only folder in which Python looks for mmcv's modules; no operators are loaded."""
    monkeypatch.setattr(mmcv, '__path__', [str(tmp_path)])
    monkeypatch.setitem(sys.modules, 'mmcv._ext', None)
    del sys.modules['mmcv._ext']
    return tmp_path


def test_operators_are_found_and_say_what_is_missing_when_called(folder):
    with pytest.raises(ModuleNotFoundError):
        load_ext('_ext', ['nms'])
    provide_operators()
    operators = load_ext('_ext', ['nms', 'roi_align_forward'])
    with pytest.raises(RuntimeError) as error:
        operators.nms([], iou_threshold=0.5)
    assert str(error.value) == (
        'nms is a compiled operator of mmcv, and mmcv-lite has none; replace it: '
        "pip uninstall mmcv-lite; pip install 'setuptools<81' ninja; "
        'pip install --no-build-isolation mmcv==2.1.0 (compiles with g++)'
    )
    assert not check_ops_exist()  # mmcv's own answer stays true


def test_compiled_operators_are_left_alone(folder):
    (folder / '_ext.py').write_text('def nms(boxes):\n    return len(boxes)\n')
    provide_operators()
    assert 'mmcv._ext' not in sys.modules
    assert load_ext('_ext', ['nms']).nms([4, 5]) == 2
    provide_operators()
    assert load_ext('_ext', ['nms']).nms([4, 5]) == 2
    with pytest.raises(AssertionError, match='roi_align_forward miss in module _ext'):
        load_ext('_ext', ['roi_align_forward'])


def test_neither_mmcv_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmcv', None)
    with pytest.raises(ImportError) as error:
        provide_operators()
    assert str(error.value) == (
        'slnp_mm needs mmcv or mmcv-lite, and neither is installed: '
        "pip install 'mmcv-lite>=2.1.0,<2.2'"
    )
