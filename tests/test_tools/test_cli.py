"""Config handling and error sentences of the tools."""

import argparse
import errno
import os
import resource
from pathlib import Path
from types import SimpleNamespace

import _cli as cli
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from slnp_mm.checkpoint import check_checkpoint, history_statistic, last_checkpoint
from slnp_mm.errors import SLNPError


@pytest.fixture
def load(tmp_path):
    """Write a config and load it with options of the command line."""

    def load_config(text='a = 1\n', **options):
        path = tmp_path / 'some_config.py'
        path.write_text(text)
        args = dict(config=str(path), cfg_options=None, work_dir=None, launcher='none')
        return cli.load_config(argparse.Namespace(**{**args, 'local_rank': 0, **options}))

    return load_config


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that there are so many GPUs."""

    def pretend(count):
        monkeypatch.setattr('torch.cuda.is_available', lambda: count > 0)
        monkeypatch.setattr('torch.cuda.device_count', lambda: count)

    return pretend


def test_freed_memory_is_kept_where_the_c_library_can(monkeypatch):
    calls = []
    glibc, other = SimpleNamespace(mallopt=lambda *given: calls.append(given)), SimpleNamespace()
    for library in (glibc, other):
        monkeypatch.setattr('ctypes.CDLL', lambda name, library=library: library)
        cli._keep_freed_memory()
    assert calls == [(-1, -1), (-4, 0)]  # no trimming, no mmap


def test_work_dir_comes_from_command_line_then_config_then_name(load):
    text = 'work_dir = "of_config"\n'
    found = load(), load(text), load(text, work_dir='of_user')
    assert [cfg.work_dir for cfg in found] == ['work_dirs/some_config', 'of_config', 'of_user']


@pytest.mark.parametrize(
    'words, options',
    [
        # open-mmlab/mmengine's DictAction takes all spaces out of a value
        (['a=/my data/x y', 'b=[1, 2]', 'c=1'], {'a': '/my data/x y', 'b': [1, 2], 'c': 1}),
        (['d=x,y'], {'d': ['x', 'y']}),
        # open-mmlab/mmengine pull request 759: given twice
        (['a=1', 'b=2', '--cfg-options', 'b=3'], {'a': 1, 'b': 3}),
        (['model.noise'], '--cfg-options takes key=value, but got model.noise'),
    ],
)
def test_options_are_read_as_they_are_written(words, options, capsys):
    parser = argparse.ArgumentParser()
    cli.add_config_options(parser)
    try:
        assert parser.parse_args(['--cfg-options', *words]).cfg_options == options
    except SystemExit:
        assert options in capsys.readouterr().err


def test_home_is_put_for_a_tilde_in_paths_of_the_command_line(load, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert cli.path('~/x') == f'{tmp_path}/x'
    assert load('work_dir = "~/runs"\n').work_dir == f'{tmp_path}/runs'
    parser = argparse.ArgumentParser()
    cli.add_config_options(parser)
    words = ['--cfg-options', 'a.root=~/my data', 'b=~/x', 'c=a~']
    wanted = {'a.root': f'{tmp_path}/my data', 'b': f'{tmp_path}/x', 'c': 'a~'}
    assert parser.parse_args(words).cfg_options == wanted


def test_loader_without_workers_keeps_none_alive(load):
    cfg = load(
        "full = dict(batch_sampler=dict(type='X'), drop_last=True)\n"
        'train_dataloader = dict(full, num_workers=0, persistent_workers=True)\n'
        'val_dataloader = [dict(num_workers=0, prefetch_factor=2)]\n'
        'test_dataloader = dict(num_workers=1, persistent_workers=True, drop_last=True)\n'
    )
    assert 'persistent_workers' not in cfg.train_dataloader
    assert 'drop_last' not in cfg.train_dataloader and cfg.test_dataloader.drop_last
    assert 'prefetch_factor' not in cfg.val_dataloader[0]
    assert cfg.test_dataloader.persistent_workers


def test_run_in_its_configs_folder_does_not_write_over_it(load, tmp_path):
    cfg = load(work_dir=str(tmp_path), cfg_options={'a': 2})
    assert cfg.filename is None and cfg.a == 2  # mmengine's copy gets the time as its name
    assert load(work_dir=f'{tmp_path}/runs').filename == f'{tmp_path}/some_config.py'


@pytest.mark.parametrize(
    'text, given, sentence',
    [
        ('a = [1\n', {}, '/some_config.py cannot be read as a config: SyntaxError: '),
        ('', dict(config='configs/nope.py'), '^no config at configs/nope.py'),
        ('a = [1]\n', dict(cfg_options={'b': 1, 'a.7.b': 3}), '^--cfg-options a.7.b does not fit'),
        (
            'val_dataloader = None\n',
            dict(cfg_options={'val_dataloader.dataset.data_root': 'x'}),
            r'^--cfg-options val_dataloader.dataset.data_root does not fit \S+/some_config.py: ',
        ),
        ('', dict(launcher='pytorch'), 'needs RANK, which torchrun sets: start with `torchrun'),
        ('', dict(launcher='slurm'), 'needs SLURM_PROCID, which srun sets'),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(text, given, sentence, load, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(SLNPError, match=sentence):
        load(text, **given)


@pytest.mark.parametrize('out', ['labels', 'labels/made', 'labels/../labels', 'link', 'a.png'])
def test_pictures_are_not_written_among_what_is_read(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'labels')
    (tmp_path / 'a.png').touch()
    with pytest.raises(SLNPError, match=f'--out {out} would overwrite or mix with the'):
        cli.keep_inputs(out, ['labels', 'a.png'])
    for other in ('labels2', '.', 'labels/scores.json'):  # reports may stand beside pictures
        cli.keep_inputs(other, ['labels'])


def test_out_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / 'made').touch()
    for out in ('made', 'made/sub'):
        with pytest.raises(SLNPError, match='made is a file, but --out='):
            cli.need_folder(f'{tmp_path}/{out}')


@pytest.mark.parametrize(
    'kind, texts, sentence',
    [
        (cli.device, ('gpu', '', 'cuda:x', 'meta'), 'must be cpu, cuda or cuda:N, but got'),
        (cli.number, ('0', '-1', '1.5', 'x'), 'whole number from 1, but got'),
    ],
)
def test_other_devices_and_counts_are_a_usage_error(kind, texts, sentence):
    for text in texts:
        with pytest.raises(argparse.ArgumentTypeError, match=sentence):
            kind(text)
    assert cli.number('3') == 3


@pytest.mark.parametrize(
    'count, options, sentence',
    [
        (0, dict(device='cuda'), 'finds no CUDA device here'),
        (0, dict(launcher='slurm'), 'start with torchrun and --launcher pytorch'),
        (1, dict(launcher='pytorch'), 'cuda:1 was asked for, but this machine has 1 CUDA'),
        # ACEsuit/mace issue 435: srun --gpus-per-task=1 shows each process one GPU
        (1, dict(launcher='slurm'), 'cuda:3 was asked for, but this machine has 1 CUDA'),
        (0, dict(strategy=dict(type='DeepSpeedStrategy')), '^strategy=.* is not supported: FSDP'),
        (0, dict(runner_type='FlexibleRunner'), '^runner_type=FlexibleRunner is not supported: '),
        (
            0,
            dict(model_wrapper_cfg=dict(type='MMFullyShardedDataParallel')),
            '^model_wrapper_cfg.type=MMFullyShardedDataParallel is not supported: FSDP, DeepSpeed',
        ),
    ],
)
def test_what_this_machine_or_model_cannot_do_is_one_sentence(
    count, options, sentence, gpus, monkeypatch
):
    gpus(count)
    monkeypatch.setenv('LOCAL_RANK', '1')
    monkeypatch.setenv('SLURM_LOCALID', '3')
    monkeypatch.setenv('MASTER_PORT', '29500')
    with pytest.raises(SLNPError, match=sentence):
        cli.build_runner(Config(dict(launcher='none') | options))


def test_jobs_of_slurm_on_one_node_do_not_share_a_port(gpus, monkeypatch):
    """mmengine issue 169, pytorch-lightning pull request 311."""
    gpus(4)
    cfg, ports = Config(dict(launcher='slurm')), []
    for job in ('4213', '4214'):
        monkeypatch.setenv('SLURM_JOB_ID', job)
        for local in ('0', '3'):
            monkeypatch.setenv('SLURM_LOCALID', local)
            monkeypatch.delenv('MASTER_PORT', raising=False)
            cli._join_processes(cfg)
            ports.append(os.environ['MASTER_PORT'])
    assert ports == ['24213', '24213', '24214', '24214']
    monkeypatch.setenv('MASTER_PORT', '12345')
    cli._join_processes(cfg)
    assert os.environ['MASTER_PORT'] == '12345'


def test_as_many_files_are_open_as_the_system_allows():
    """pytorch issue 973: received 0 items of ancdata."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
    found = []
    cli.run_tool(lambda: found.append(resource.getrlimit(resource.RLIMIT_NOFILE)))
    assert found == [(before[1], before[1])]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize('gpu, bf16', [(False, False), (True, True), (True, False)])
def test_amp_switches_each_wrapper(gpu, bf16, gpus, monkeypatch):
    gpus(int(gpu))
    monkeypatch.setattr('torch.cuda.is_bf16_supported', lambda emulated: bf16)
    kind = 'AmpOptimWrapper' if gpu and not bf16 else 'SLNPBF16OptimWrapper'
    one = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD'))))
    cli.enable_amp(one)
    assert one.optim_wrapper.type == kind
    wrappers = dict(
        constructor='MultiOptimWrapperConstructor',
        generator=dict(type='OptimWrapper', optimizer={}),
        discriminator=dict(type='AmpOptimWrapper', optimizer={}),
    )
    two = Config(dict(optim_wrapper=wrappers))
    cli.enable_amp(two)
    assert two.optim_wrapper.generator.type == kind
    assert two.optim_wrapper.discriminator.type == 'AmpOptimWrapper'
    with pytest.raises(SLNPError, match='but the config has Other'):
        cli.enable_amp(Config(dict(optim_wrapper=dict(type='Other', optimizer={}))))


def test_compile_is_refused():
    """mmengine would compile train_step, optimizers and all."""
    with pytest.raises(SLNPError, match='compile is not supported: .* remove it'):
        cli.build_runner(Config(dict(launcher='none', compile=True)))


def test_auto_scale_needs_a_base_batch_size():
    with pytest.raises(SLNPError, match='auto_scale_lr.base_batch_size=N'):
        cli.enable_auto_scale_lr(Config(dict(a=1)))
    cfg = Config(dict(auto_scale_lr=dict(base_batch_size=16)))
    cli.enable_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr.enable is True


def test_figures_go_to_tensorboard_or_the_missing_package_is_named():
    cfg = Config(dict(visualizer=dict(vis_backends=[dict(type='LocalVisBackend')])))
    cli.log_to(cfg, 'tensorboard', 'TensorboardVisBackend')
    types = [backend['type'] for backend in cfg.visualizer.vis_backends]
    assert types == ['LocalVisBackend', 'TensorboardVisBackend']
    with pytest.raises(SLNPError, match='--nowhere needs the package nowhere, which is not inst'):
        cli.log_to(cfg, 'nowhere', 'WandbVisBackend')


@pytest.fixture
def save(tmp_path):
    """Write a checkpoint of a model into the work dir, and its note."""

    def write(model, name='iter_4.pth', **meta):
        path = tmp_path / name
        torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
        (tmp_path / 'last_checkpoint').write_text(f'/moved/away/{name}')
        return path

    return write


def test_work_dir_stands_for_its_last_whole_checkpoint(tmp_path, save, capsys):
    with pytest.raises(SLNPError) as caught:
        cli.find_checkpoint(str(tmp_path))
    assert str(caught.value) == (
        f'no checkpoint in the work dir {tmp_path}: train one with tools/train.py, or give a file'
    )
    assert ''.join(capsys.readouterr()) == ''
    linear = torch.nn.Linear(2, 3)
    expected, later = (str(save(linear, name)) for name in ('iter_4.pth', 'iter_6.pth'))
    assert cli.find_checkpoint(str(tmp_path)) == later
    assert cli.find_checkpoint(expected) == expected
    open(later, 'w').close()
    assert cli.find_checkpoint(str(tmp_path)) == expected
    with pytest.raises(SLNPError, match='no checkpoint at .*iter_5.pth: tr'):
        cli.find_checkpoint(str(tmp_path / 'iter_5.pth'))


@pytest.fixture
def resume(tmp_path, monkeypatch):
    """Resume in the work dir; stands in for the runner: a model and what it would resume."""
    stand_in = lambda cfg: SimpleNamespace(cfg=cfg, model=torch.nn.Linear(2, 3))  # noqa: E731
    monkeypatch.setattr(Runner, 'from_cfg', stand_in)
    cfg = Config(dict(resume=True, work_dir=str(tmp_path), launcher='none'))
    return lambda: cli.build_runner(cfg).cfg.load_from


def test_resume_finds_the_checkpoint_of_a_moved_work_dir_or_starts_anew(resume, save):
    assert resume() is None
    path = save(torch.nn.Linear(2, 3), 'model.pth')
    assert resume() == str(path)
    save(torch.nn.Linear(2, 5), 'model.pth')
    sentence = (
        r'weight is \(5, 2\) in the file, but \(3, 2\) here; use the '
        r'config it was trained with \(another number of classes\?\)'
    )
    with pytest.raises(SLNPError, match=sentence):
        resume()


def test_resume_falls_back_to_the_last_whole_checkpoint(tmp_path, save):
    good = save(torch.nn.Linear(2, 3)).read_bytes()
    for number, data in ((2, good), (4, good[:50]), (10, good[:200]), (12, good)):
        (tmp_path / f'iter_{number}.pth').write_bytes(data)
    note = tmp_path / 'last_checkpoint'
    note.write_text('/moved/iter_10.pth')  # 12 is of another attempt
    assert last_checkpoint(tmp_path) == str(tmp_path / 'iter_2.pth')

    note.write_text('')  # killed when it was written
    assert last_checkpoint(tmp_path) == str(tmp_path / 'iter_12.pth')
    note.unlink()  # or before
    assert last_checkpoint(tmp_path) == str(tmp_path / 'iter_12.pth')

    for number in (2, 12):
        (tmp_path / f'iter_{number}.pth').write_bytes(good[:100])
    with pytest.raises(SLNPError, match=r'iter_12\.pth cannot be read as a checkpoint'):
        last_checkpoint(tmp_path)


def test_checkpoint_of_other_shapes_is_one_sentence_which_says_its_classes(save):
    path = save(torch.nn.Linear(2, 3), dataset_meta=dict(classes=('sky', 'road', 'car')))
    check_checkpoint(path, torch.nn.Linear(2, 3))
    with pytest.raises(SLNPError) as caught:
        check_checkpoint(path, torch.nn.Linear(2, 5))
    assert str(caught.value) == (
        f'{path} does not fit this config: weight is (3, 2) in the file, but (5, 2) here; use the '
        'config it was trained with (its data set has 3 classes), or train again'
    )


def test_part_of_a_model_passes_only_if_asked_for(save):
    path = save(torch.nn.Linear(2, 3, bias=False))
    model = torch.nn.Linear(2, 3)
    check_checkpoint(path, model, whole=False)
    with pytest.raises(SLNPError, match='lacks 1 of 2 entries .*bias'):
        check_checkpoint(path, model)
    other = torch.nn.Sequential(torch.nn.Linear(2, 3))  # other names
    with pytest.raises(SLNPError, match='lacks 2 of 2'):
        check_checkpoint(path, other, whole=False)


def raise_(error):
    raise error


@pytest.mark.parametrize(
    'call, code, said',
    [
        (lambda: None, 0, ''),
        (lambda: history_statistic(dict, 'mean'), 1, 'error: a checkpoint may look up only'),
        (
            lambda: raise_(OSError(errno.EROFS, 'Read-only file system', '/media/x')),
            1,
            'error: Read-only file system at /media/x: make room, fix the permissions, or choose '
            'another folder\n',
        ),
        (lambda: raise_(KeyboardInterrupt), 130, 'error: stopped\n'),
    ],
)
def test_tool_prints_one_sentence_and_gives_a_code(call, code, said, capsys):
    assert cli.run_tool(call) == code
    error = capsys.readouterr().err
    assert error.startswith(said) and len(error.splitlines()) == bool(said)


def test_tool_keeps_the_traceback_of_a_bug(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        cli.run_tool(lambda: 1 // 0)
    monkeypatch.setenv('SLNP_MM_TRACEBACK', '1')
    with pytest.raises(ValueError, match='may look up'):
        cli.run_tool(lambda: history_statistic(dict, 'mean'))


def test_threads_of_gloo_end_with_the_tool(tmp_path):
    """One that frees a tensor during Python's shutdown aborts: pytorch issue 190489."""

    def count():
        return sum('gloo' in task.read_text() for task in Path('/proc/self/task').glob('*/comm'))

    def main():
        meeting = (tmp_path / 'meeting').as_uri()
        torch.distributed.init_process_group('gloo', meeting, rank=0, world_size=1)
        model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
        model.itself = [model]  # as models, hooks and runners hold each other
        assert count()

    assert cli.run_tool(main) == 0
    assert not count()
    assert not torch.distributed.is_initialized()
