"""Names resolve from mmagic's scope in a fresh process, beside mmseg too."""

import json
import subprocess
import sys

import pytest

NAMES = dict(
    MODELS=[
        'SLNPGAN',
        'SLNPGenerator',
        'SLNPGlobalGenerator',
        'SLNPLocalRefiner',
        'SLNPDiscriminator',
        'NoisePriorVAE',
        'SLNPDataPreprocessor',
        'SLNPGANLoss',
        'SLNPPretrainedDiscriminator',
        'SLNPRampUpEMA',
    ],
    DATASETS=[
        'SLNPDataset',
        'SLNPCOCOStuff',
        'SLNPADE20K',
        'SLNPCityscapes',
        'SLNPCamVid',
        'SLNPNYUv2',
        'SLNPNuclei',
        'SLNPToyScenes',
    ],
    TRANSFORMS=[
        'SLNPLoadImage',
        'SLNPLoadLabel',
        'SLNPLoadInstances',
        'SLNPResize',
        'SLNPFlip',
        'SLNPLabelToImage',
        'SLNPPackInputs',
    ],
    METRICS=['SLNPSegMetric', 'SLNPPriorMetric'],
    HOOKS=['SLNPCheckpointHook', 'SLNPPriorHook', 'SLNPVisualizationHook', 'SLNPWatchHook'],
    DATA_SAMPLERS=['SLNPBatchSampler'],
    LOG_PROCESSORS=['SLNPLogProcessor'],
    OPTIMIZERS=['AMM'],
    OPTIM_WRAPPERS=['SLNPBF16OptimWrapper'],
)

# Prints, as its last line, where each name was found and what was built.
SCRIPT = """
import importlib, json, runpy, sys
first = sys.argv[2]
if first == 'mmseg':
    # mmseg imports mmcv's operators: put them there as a compiled mmcv would
    runpy.run_path('slnp_mm/mmcv_ops.py')['provide_operators']()
    import mmseg.models, mmseg.datasets
    assert 'slnp_mm' not in sys.modules
if first == 'config':
    from mmengine.config import Config
    Config.fromfile('configs/_base_/default_runtime.py')
else:
    import slnp_mm
importlib.import_module('slnp_mm')
from mmengine.utils import import_modules_from_strings
import_modules_from_strings(['slnp_mm'], allow_failed_imports=False)
if first != 'mmseg':
    import mmseg.models, mmseg.datasets

import torch
from mmagic import registry
from mmengine import registry as root
from mmengine.registry import DefaultScope, init_default_scope
init_default_scope('mmagic')

found = {}
for kind, names in json.loads(sys.argv[1]).items():
    for name in names:
        own = getattr(registry, kind).get(name)
        assert getattr(root, kind).get('mmagic.' + name) is own, name
        found[name] = own.__module__

model = dict(
    type='SLNPGAN',
    data_preprocessor=dict(type='SLNPDataPreprocessor', num_classes=3),
    generator=dict(
        type='SLNPGenerator', num_classes=3, noise_shape=(4, 2, 2),
        global_generator=dict(
            type='SLNPGlobalGenerator', base_channels=8, num_blocks=1),
        refiners=[dict(type='SLNPLocalRefiner', base_channels=8)]),
    discriminator=dict(type='SLNPDiscriminator', num_classes=3),
    gan_loss=dict(type='SLNPGANLoss'),
    ema_config=dict(type='SLNPRampUpEMA'),
    noise_prior=dict(
        type='NoisePriorVAE', image_size=8, latent_channels=4, num_scales=2))
model = registry.MODELS.build(model)
built = [type(m).__name__ for m in model.modules()]
optimizer = registry.OPTIMIZERS.build(
    dict(type='AMM', params=[torch.nn.Parameter(torch.zeros(2))]))
built.append(type(optimizer).__name__)
for name in ('SLNPLoadImage', 'SLNPLoadLabel', 'SLNPLoadInstances',
             'SLNPFlip', 'SLNPPackInputs'):
    built.append(type(registry.TRANSFORMS.build(dict(type=name))).__name__)
metric = registry.METRICS.build(
    dict(type='SLNPSegMetric', scorer=dict(config='none.py')))
built.append(type(metric).__name__)
scope = DefaultScope.get_current_instance().scope_name
print(json.dumps(dict(found=found, built=built, scope=scope)))
"""


@pytest.mark.slow
@pytest.mark.parametrize('first', ['slnp_mm', 'mmseg', 'config'])
def test_names_resolve_and_build_in_a_fresh_process(first, request):
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
