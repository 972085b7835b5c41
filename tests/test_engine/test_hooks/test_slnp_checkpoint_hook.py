"""Stopped at any moment, a run resumes bit-exactly; nothing is lost."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import _cli as cli
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.logging import MessageHub

from slnp_mm.checkpoint import last_checkpoint
from slnp_mm.datasets import STOP_SIGNALS, SLNPDataset
from slnp_mm.engine.hooks import SLNPCheckpointHook
from slnp_mm.engine.optimizers import AMM
from slnp_mm.errors import SLNPError, one_sentence
from slnp_mm.evaluation import SLNPSegMetric

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
    assert 'does not store the position in the data' in log.read_text()


def test_epochs_are_refused(make_cfg):
    cfg = make_cfg('epochs')
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1)
    cfg.default_hooks.logger = None
    with pytest.raises(SLNPError, match='SLNPBatchSampler is endless, but train_cfg counts'):
        train(cfg)


def send_in_step(*numbers):
    """Signals in the third iteration, between the two networks."""
    step, count = AMM.step, iter(range(99))

    def sending(optimizer, *args):
        if next(count) == 4:
            for number in numbers:
                os.kill(os.getpid(), number)
        return step(optimizer, *args)

    AMM.step = sending


def send_in_save(number):
    """The signal again, when the checkpoint is being written (pytorch-lightning issue 21406)."""
    put = LocalBackend.put

    def sending(self, data, path):
        os.kill(os.getpid(), number)
        put(self, data, path)

    LocalBackend.put = sending


RARE = {'default_hooks.checkpoint.interval': 100}


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_stops(make_cfg, number):
    def send():
        send_in_step(number, number)
        send_in_save(number)

    cfg = make_cfg('stopped', **RARE)
    assert in_a_fork(cfg, send) == 130
    assert Path(last_checkpoint(cfg.work_dir)).name == 'iter_3.pth'


def test_a_signal_to_all_processes_leaves_the_workers_alive(make_cfg):
    """pytorch-lightning issue 20542, mmsegmentation issue 2085: the training waits for a batch."""

    def send():
        os.setpgrp()
        get, count = SLNPDataset.__getitem__, iter(range(99))

        def slow(self, index):
            if next(count) == 6:  # the fourth batch
                time.sleep(3)
                os.killpg(0, signal.SIGTERM)
                time.sleep(1)
            return get(self, index)

        SLNPDataset.__getitem__ = slow

    loader = {'train_dataloader.num_workers': 1, 'train_dataloader.prefetch_factor': 1}
    cfg = make_cfg('group', **RARE, **loader)
    assert in_a_fork(cfg, send) == 130
    assert Path(last_checkpoint(cfg.work_dir)).name == 'iter_4.pth'


def test_a_signal_in_a_validation_does_not_wait_for_its_end(make_cfg, scorer):
    """goodfire-ai/spd issue 741."""

    def send():
        SLNPSegMetric.process = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
        SLNPSegMetric.evaluate = lambda *_: os._exit(1)

    cfg = make_cfg('val', val=True, **RARE, **{'train_cfg.val_interval': 2})
    cfg.val_evaluator.metrics = [dict(type='SLNPSegMetric', scorer=scorer(10))]
    assert in_a_fork(cfg, send) == 130
    assert Path(last_checkpoint(cfg.work_dir)).name == 'iter_2.pth'


@pytest.mark.slow
def test_processes_stop_together_when_one_has_a_signal(make_cfg, tmp_path):
    """NVIDIA-NeMo/Automodel pull request 3007, kyutai-labs/pocket-tts pull request 277."""
    cfg = make_cfg('two', **RARE, **{'train_cfg.max_iters': 1000})
    cfg.dump(tmp_path / 'two.py')
    script = tmp_path / 'signalled.py'
    script.write_text(
        'import os, signal, sys\n'
        f'sys.path[:0] = [{os.path.dirname(cli.__file__)!r}, {str(Path(__file__).parent)!r}]\n'
        'import train, test_slnp_checkpoint_hook as tests\n'
        "os.environ['RANK'] == '1' and tests.send_in_step(signal.SIGUSR1)\n"
        'sys.exit(train.cli.run_tool(train.main))\n'
    )
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command += [script, tmp_path / 'two.py', '--launcher', 'pytorch']
    hidden = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, capture_output=True, text=True, env=hidden, timeout=300)
    assert done.stderr.count('error: stopped\n') == 2, done.stderr[-3000:]
    assert done.stderr.count('SIGUSR1: saving') == 1
    assert Path(last_checkpoint(cfg.work_dir)).name == 'iter_3.pth'


@pytest.fixture
def stopping(make_cfg):
    """A hook that waits for signals as in a training; signals are put back."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hook = SLNPCheckpointHook()
    yield hook, lambda: hook.before_train(cli.build_runner(make_cfg('waiting')))
    for number, handler in before.items():
        signal.signal(number, handler)


def test_handlers_of_others_and_ignored_signals_are_left_alone(stopping):
    """facebookincubator/submitit issue 1709; nohup."""
    hook, wait = stopping
    seen = []
    signal.signal(signal.SIGUSR1, lambda *_: seen.append('submitit'))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    wait()
    signal.raise_signal(signal.SIGUSR1)
    assert seen == ['submitit'] and hook._signal is None
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_only_a_late_second_ctrl_c_ends_at_once(stopping, monkeypatch):
    hook, wait = stopping
    wait()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        signal.raise_signal(number)
    hook._asked -= 6
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_training_after_one_that_failed_has_its_signals(stopping, make_cfg):
    hook, wait = stopping
    wait()  # an error ends it: no after_train
    later = SLNPCheckpointHook()
    runner = cli.build_runner(make_cfg('later'))
    later.before_train(runner)
    signal.raise_signal(signal.SIGTERM)
    assert later._signal == 'SIGTERM' and hook._signal is None
    later.after_train(runner)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


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
        f'No space left on device at {cfg.work_dir}/iter_4.pth: make room, fix the permissions, '
        'or choose another folder'
    )
    assert [path.name for path in Path(cfg.work_dir).glob('*.pth')] == ['iter_2.pth']
    assert last_checkpoint(cfg.work_dir).endswith('iter_2.pth')


def test_the_best_checkpoint_is_kept(make_cfg, scorer, monkeypatch):
    """By mIoU; a validation without that figure keeps none."""
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
