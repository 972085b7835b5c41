"""Names resolve from mmagic's scope in a fresh process, beside mmseg too."""

import json
import subprocess
import sys

import pytest

NAMES = dict(
    MODELS=(
        'SLNPGAN SLNPGenerator SLNPGlobalGenerator SLNPLocalRefiner SLNPDiscriminator '
        'NoisePriorVAE SLNPDataPreprocessor SLNPGANLoss SLNPPretrainedDiscriminator SLNPRampUpEMA'
    ),
    DATASETS=(
        'SLNPDataset SLNPCOCOStuff SLNPADE20K SLNPCityscapes SLNPCamVid SLNPNYUv2 SLNPNuclei '
        'SLNPToyScenes'
    ),
    TRANSFORMS=(
        'SLNPLoadImage SLNPLoadLabel SLNPLoadInstances SLNPResize SLNPFlip '
        'SLNPLabelToImage SLNPPackInputs'
    ),
    METRICS='SLNPSegMetric SLNPPriorMetric',
    HOOKS='SLNPCheckpointHook SLNPPriorHook SLNPVisualizationHook SLNPWatchHook',
    DATA_SAMPLERS='SLNPBatchSampler',
    LOG_PROCESSORS='SLNPLogProcessor',
    OPTIMIZERS='AMM',
    OPTIM_WRAPPERS='SLNPBF16OptimWrapper',
)
NAMES = {kind: names.split() for kind, names in NAMES.items()}

# Prints, as its last line, where each name was found and what was built.
SCRIPT = """
import json, runpy, sys

def loaded(*names):
    return [name for name in names if name in sys.modules]

if sys.argv[2] == 'mmseg':
    # mmseg imports mmcv's operators: put them there as a compiled mmcv would
    runpy.run_path('slnp_mm/mmcv_ops.py')['provide_operators']()
    import mmseg.models, mmseg.datasets
    assert not loaded('slnp_mm')

import slnp_mm
from mmagic import registry
if sys.argv[2] == 'slnp_mm':
    # tools without a network (check_dataset, score --compare) go without diffusers
    late = 'mmagic.models', 'diffusers', 'slnp_mm.models', 'pycocotools'
    assert not loaded(*late)
    assert registry.DATASETS.get('SLNPDataset') and registry.TRANSFORMS.get('SLNPFlip')
    assert not loaded(*late)
    registry.METRICS.build(dict(type='SLNPSegMetric', scorer=dict(config='x.py')))
    assert registry.HOOKS.get('SLNPVisualizationHook') and not loaded('mmseg')
    assert registry.MODELS.get('SLNPGAN') is sys.modules['slnp_mm.models'].SLNPGAN
    import mmseg.models, mmseg.datasets

import torch
from mmengine import registry as root
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
init_default_scope('mmagic')

found = {}
for kind, names in json.loads(sys.argv[1]).items():
    for name in names:
        own = getattr(registry, kind).get(name)
        assert getattr(root, kind).get('mmagic.' + name) is own, name
        found[name] = own.__module__

cfg = Config.fromfile('configs/slnp_coco.py')
cfg.model.ema_config = dict(type='SLNPRampUpEMA')
with torch.device('meta'):
    parts = [*registry.MODELS.build(cfg.model).modules()]
parts.append(registry.OPTIMIZERS.build(dict(type='AMM', params=[torch.ones(2)])))
parts.append(registry.TRANSFORMS.build(dict(type='SLNPPackInputs')))
parts.append(registry.METRICS.build(dict(type='SLNPSegMetric', scorer=dict(config='x.py'))))
built = [type(part).__name__ for part in parts]
scope = DefaultScope.get_current_instance().scope_name
print(json.dumps(dict(found=found, built=built, scope=scope)))
"""


@pytest.mark.slow
@pytest.mark.parametrize('first', ['mmseg', 'slnp_mm'])
def test_names_resolve_and_build_in_a_fresh_process(first, request):
    """And networks are imported when a model is looked up, mmseg when one is scored."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', SCRIPT, json.dumps(NAMES), first],
        capture_output=True,
        text=True,
        cwd=request.config.rootpath,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result['scope'] == 'mmagic'
    assert set(result['found']) == {n for ns in NAMES.values() for n in ns}
    assert all(module.startswith('slnp_mm.') for module in result['found'].values())
    # all but the one that needs weights from outside
    assert set(NAMES['MODELS']) - {'SLNPPretrainedDiscriminator'} <= set(result['built'])
    assert {'AMM', 'SLNPSegMetric', 'SLNPPackInputs'} <= set(result['built'])


def test_no_other_name_is_registered_twice():
    """All our names carry the prefix, or are of the list above."""
    from mmagic import registry

    import slnp_mm.models  # noqa: F401

    ours = {
        name
        for kind in NAMES
        for name, item in getattr(registry, kind).module_dict.items()
        if item.__module__.startswith('slnp_mm.')
    }
    assert {name for name in ours if not name.startswith('SLNP')} == {'NoisePriorVAE', 'AMM'}
