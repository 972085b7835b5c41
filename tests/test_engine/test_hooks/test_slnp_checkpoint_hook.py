"""Stopped at any moment, a run goes on with the same numbers; nothing is lost."""

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path

import _cli as cli
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.logging import MessageHub

from slnp_mm.checkpoint import last_checkpoint
from slnp_mm.engine.hooks import SLNPCheckpointHook
from slnp_mm.engine.optimizers import AMM
from slnp_mm.errors import SLNPError, one_sentence

pytestmark = pytest.mark.usefixtures('repository')


@pytest.fixture
def make_cfg(datasets, tmp_path, tiny):
    """Config of six iterations of two samples with flips, a schedule and EMA."""

    def make(name, val=False, **options):
        cfg = Config.fromfile('configs/slnp_toy.py')
        tiny.shrink(cfg, datasets['toy'], tmp_path / name, 64)
        tiny.narrow(cfg.model)
        cfg.model.update(noise='random', noise_prior=None)
        cfg.model.ema_config.update(start_iter=2)
        cfg.train_cfg.max_iters = 6
        cfg.default_hooks.checkpoint.update(interval=2, max_keep_ckpts=1)
        cfg.param_scheduler.update(begin=1, end=5)
        if not val:
            cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        cfg.custom_hooks = []
        cfg.launcher = 'none'
        # runs of one name and second share a log
        cfg.experiment_name = f'{tmp_path.name}_{name}'
        cfg.merge_from_dict(options)
        return cfg

    return make


def train(cfg):
    """Train as the tool does, here."""
    runner = cli.build_runner(cfg)
    runner.train()
    return runner


def in_a_fork(cfg, prepare=lambda: None):
    """Train in a process of its own, since importing anew takes most of a minute; its exit code."""

    def work():
        torch.set_num_threads(1)
        MessageHub._instance_dict.clear()  # a run that began in the same second has the same name
        signal.signal(signal.SIGINT, signal.default_int_handler)  # xdist's processes ignore it
        prepare()
        os._exit(cli.run_tool(lambda: train(cfg) and 0))

    job = multiprocessing.get_context('fork').Process(target=work)
    job.start()
    job.join(timeout=100)
    job.kill()
    return job.exitcode


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_in_a_step():
    """In the middle of the fifth iteration, between the two networks."""
    step, count = AMM.step, iter(range(10))

    def last(self, *args):
        if next(count) == 9:
            kill()
        return step(self, *args)

    AMM.step = last


def kill_in_a_write():
    """When half of the second checkpoint is on disk."""
    put, count = LocalBackend.put, iter(range(2))

    def last(self, data, path):
        if next(count) == 1:
            put(self, data[: len(data) // 2], path)
            kill()
        put(self, data, path)

    LocalBackend.put = last


def kill_in_the_note():
    """When the second checkpoint is there, its note is half written and the first not removed."""

    def last(self):
        if self.last_ckpt.endswith('iter_4.pth'):
            note = Path(self.out_dir, 'last_checkpoint')
            note.write_text('')
            kill()

    SLNPCheckpointHook._remove_outdated = last


def result(cfg):
    """All that a run's last checkpoint says but times and paths."""
    stored = torch.load(f'{cfg.work_dir}/iter_6.pth', weights_only=True)
    scalars = stored['message_hub']['log_scalars'].items()
    logged = {key: list(value.data[0]) for key, value in scalars if 'time' not in key}
    return [stored[key] for key in ('state_dict', 'optimizer', 'param_schedulers')] + [logged]


def same(one, two):
    """Equality to the last bit of nested values."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return torch.equal(one, two) if torch.is_tensor(one) else one == two


@pytest.mark.slow
def test_killed_runs_go_on_to_the_same_bits(make_cfg):
    workers = {'train_dataloader.num_workers': 2, 'train_dataloader.persistent_workers': True}
    whole = make_cfg('whole', **workers)
    assert in_a_fork(whole) == 0
    assert sorted(path.name for path in Path(whole.work_dir).glob('*.pth')) == ['iter_6.pth']
    for prepare, left in (
        (kill_in_a_step, ['iter_4.pth']),
        (kill_in_a_write, ['iter_2.pth']),
        (kill_in_the_note, ['iter_2.pth', 'iter_4.pth']),
    ):
        cfg = make_cfg(prepare.__name__, **workers)
        assert in_a_fork(cfg, prepare) == -signal.SIGKILL
        files = [path.name for path in Path(cfg.work_dir).glob('[!.]*.pth')]
        assert sorted(files) == left
        cfg = make_cfg(prepare.__name__, resume=True)  # without workers
        assert in_a_fork(cfg) == 0
        assert same(result(whole), result(cfg)), prepare.__name__
        assert not list(Path(cfg.work_dir).glob('.*.pth'))  # the half-written one


def test_another_batch_size_goes_on_with_the_next_samples(make_cfg, trained):
    as_list = {'optim_wrapper.generator.optimizer.betas': [0.0, 0.99]}  # a list is no other setting
    cfg = make_cfg('run', load_from=trained, resume=True, **as_list)
    cfg.train_dataloader.batch_size = 1
    runner = train(cfg)
    assert runner.message_hub.get_info('data_place') == 2 * 2 + 4 * 1


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (
            {'optim_wrapper.generator.optimizer.lr': 0.1},
            'generator.lr is 0.0004 there and 0.1 here: set them back, or start a new run from '
            'its weights (--cfg-options load_from=',
        ),
        ({'optim_wrapper.discriminator.optimizer.momentum': 0.0}, 'discriminator.momentum is 0.5'),
        ({'param_scheduler.end': 9}, 'generator schedule 0.end is 5 there and 9 here'),
        (dict(param_scheduler=None), 'generator schedule 0.end is 5 there and None here'),
    ],
)
def test_settings_that_a_checkpoint_overrules_are_refused(make_cfg, trained, options, sentence):
    cfg = make_cfg('settings', load_from=trained, resume=True, **options)
    with pytest.raises(SLNPError) as caught:
        train(cfg)
    assert sentence in str(caught.value)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Where the checkpoint of two iterations will be."""
    return str(tmp_path_factory.mktemp('trained') / 'iter_2.pth')


@pytest.fixture(autouse=True)
def _trained(trained, make_cfg):
    if not os.path.exists(trained):
        cfg = make_cfg('made', **{'train_cfg.max_iters': 2})
        train(cfg)
        os.replace(f'{cfg.work_dir}/iter_2.pth', trained)


def test_weights_alone_cannot_be_resumed(make_cfg, trained, tmp_path):
    stored = torch.load(trained, weights_only=True)
    del stored['optimizer']
    torch.save(stored, tmp_path / 'best.pth')
    cfg = make_cfg('weights', load_from=str(tmp_path / 'best.pth'), resume=True)
    with pytest.raises(SLNPError, match='best.pth holds no state of the optimizers'):
        train(cfg)


def test_checkpoint_of_an_older_version_goes_on_and_says_so(make_cfg, trained, tmp_path):
    stored = torch.load(trained, weights_only=True)
    for key in ('data_place', 'data_seed'):
        del stored['message_hub']['runtime_info'][key]
    torch.save(stored, tmp_path / 'old.pth')
    cfg = make_cfg('old', load_from=str(tmp_path / 'old.pth'), resume=True, log_level='WARNING')
    runner = train(cfg)
    assert runner.message_hub.get_info('data_place') == 6 * 2
    (log,) = Path(cfg.work_dir).rglob('*.log')
    assert 'does not say where in the data it was made' in log.read_text()


def test_epochs_are_refused(make_cfg):
    cfg = make_cfg('epochs')
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1)
    cfg.default_hooks.logger = None
    with pytest.raises(SLNPError, match='SLNPBatchSampler is endless, but train_cfg counts'):
        train(cfg)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(make_cfg, number):
    def send():
        step, count = AMM.step, iter(range(99))

        def sending(optimizer, *args):
            if next(count) == 4:  # the third iteration
                os.kill(os.getpid(), number)
            return step(optimizer, *args)

        AMM.step = sending

    cfg = make_cfg('stopped', **{'default_hooks.checkpoint.interval': 100})
    assert in_a_fork(cfg, send) == 130
    assert Path(last_checkpoint(cfg.work_dir)).name == 'iter_3.pth'


def test_a_signal_after_a_training_that_failed_is_not_swallowed():
    before = signal.getsignal(signal.SIGINT)
    hook = SLNPCheckpointHook()
    hook._handlers = {signal.SIGINT: signal.default_int_handler}
    signal.signal(signal.SIGINT, hook._note_signal)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_a_full_disk_leaves_the_old_checkpoint(make_cfg, monkeypatch):
    def put(self, data, path):
        if 'full' in disk:
            raise OSError(errno.ENOSPC, 'No space left on device')
        disk.append('full')
        Path(path).write_bytes(data)

    disk = []
    monkeypatch.setattr(LocalBackend, 'put', put)
    cfg = make_cfg('full')
    with pytest.raises(OSError) as caught:
        train(cfg)
    assert one_sentence(caught.value) == (
        f'No space left on device at {cfg.work_dir}/iter_4.pth: make room, mend the permissions, '
        'or choose another folder'
    )
    assert [path.name for path in Path(cfg.work_dir).glob('*.pth')] == ['iter_2.pth']
    assert last_checkpoint(cfg.work_dir).endswith('iter_2.pth')


def test_the_best_checkpoint_is_kept(make_cfg, scorer, monkeypatch):
    """By mIoU; a validation without that figure keeps none."""
    from slnp_mm.evaluation import SLNPSegMetric

    scores = iter([1.0, 3.0, 2.0])
    monkeypatch.setattr(SLNPSegMetric, 'evaluate', lambda *_: {'mIoU': next(scores)})
    cfg = make_cfg('best', val=True, **{'train_cfg.max_iters': 3, 'train_cfg.val_interval': 1})
    cfg.val_evaluator.metrics = [dict(type='SLNPSegMetric', scorer=scorer(10))]
    runner = train(cfg)
    names = sorted(path.name for path in Path(cfg.work_dir).glob('*.pth'))
    assert names == ['best_mIoU_iter_2.pth', 'iter_3.pth']
    assert runner.message_hub.get_info('best_score') == 3.0

    hook = next(hook for hook in runner.hooks if isinstance(hook, SLNPCheckpointHook))
    before = time.time()
    hook.after_val_epoch(runner, dict(fid=1.0))
    assert not [p for p in Path(cfg.work_dir).glob('*.pth') if p.stat().st_mtime > before]
