"""Config handling and error sentences of the tools."""

import argparse
import errno
from types import SimpleNamespace

import _cli as cli
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from slnp_mm.checkpoint import check_checkpoint, history_statistic, last_checkpoint
from slnp_mm.errors import SLNPError


def _args(tmp_path, text='a = 1\n', **kwargs):
    path = tmp_path / 'some_config.py'
    path.write_text(text)
    args = dict(config=str(path), cfg_options=None, work_dir=None)
    args.update(launcher='none', local_rank=0)
    return argparse.Namespace(**{**args, **kwargs})


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)


@pytest.fixture
def with_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)


def test_freed_memory_is_kept_where_the_c_library_can(monkeypatch):
    calls = []
    glibc, other = SimpleNamespace(mallopt=lambda *given: calls.append(given)), SimpleNamespace()
    for library in (glibc, other):
        monkeypatch.setattr('ctypes.CDLL', lambda name, library=library: library)
        cli._keep_freed_memory()
    assert calls == [(-1, -1), (-4, 0)]  # no trimming, no mmap


def test_work_dir_comes_from_command_line_then_config_then_name(tmp_path):
    assert cli.load_config(_args(tmp_path)).work_dir == ('work_dirs/some_config')
    text = 'work_dir = "of_config"\n'
    assert cli.load_config(_args(tmp_path, text)).work_dir == 'of_config'
    args = _args(tmp_path, text, work_dir='of_user')
    assert cli.load_config(args).work_dir == 'of_user'


def test_options_override_the_config(tmp_path):
    text = 'model = dict(size=1, kinds=[1, 2])\n'
    args = _args(tmp_path, text, cfg_options={'model.size': 3})
    assert cli.load_config(args).model.size == 3


def _options(*words):
    parser = argparse.ArgumentParser()
    cli.add_config_options(parser)
    return parser.parse_args(['--cfg-options', *words]).cfg_options


def test_options_keep_the_spaces_of_a_path():
    """open-mmlab/mmengine's DictAction takes all spaces out of a value."""
    assert _options('a=/my data/x y', 'b=[1, 2]', 'c=1', 'd=x,y') == {
        'a': '/my data/x y',
        'b': [1, 2],
        'c': 1,
        'd': ['x', 'y'],
    }


def test_options_may_be_given_twice():
    """open-mmlab/mmengine pull request 759."""
    words = ['--cfg-options', 'a=1', 'b=2', '--cfg-options', 'b=3']
    parser = argparse.ArgumentParser()
    cli.add_config_options(parser)
    assert parser.parse_args(words).cfg_options == {'a': 1, 'b': 3}


def test_option_without_a_value_is_a_usage_error(capsys):
    with pytest.raises(SystemExit):
        _options('model.noise')
    assert '--cfg-options takes key=value, but got model.noise' in capsys.readouterr().err


def test_home_is_put_for_a_tilde_in_arguments_and_config(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert cli.path('~/x') == f'{tmp_path}/x'
    text = 'work_dir = "~/runs"\nmodel = dict(a=[dict(prior_checkpoint="~/p")], b="a~")\n'
    cfg = cli.load_config(_args(tmp_path, text))
    assert cfg.work_dir == f'{tmp_path}/runs'
    assert cfg.model.a[0].prior_checkpoint == f'{tmp_path}/p'
    assert cfg.model.b == 'a~'


def test_loader_without_workers_keeps_none_alive(tmp_path):
    text = (
        "full = dict(batch_sampler=dict(type='X'), drop_last=True)\n"
        'train_dataloader = dict(full, num_workers=0, persistent_workers=True)\n'
        'val_dataloader = [dict(num_workers=0, prefetch_factor=2)]\n'
        'test_dataloader = dict(num_workers=1, persistent_workers=True, drop_last=True)\n'
    )
    cfg = cli.load_config(_args(tmp_path, text))
    assert 'persistent_workers' not in cfg.train_dataloader
    assert 'drop_last' not in cfg.train_dataloader and cfg.test_dataloader.drop_last
    assert 'prefetch_factor' not in cfg.val_dataloader[0]
    assert cfg.test_dataloader.persistent_workers


def test_config_that_does_not_parse_is_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match='some_config.py cannot be read as a config: .*Error'):
        cli.load_config(_args(tmp_path, 'a = [1\n'))


def test_run_in_its_configs_folder_does_not_write_over_it(tmp_path):
    cfg = cli.load_config(_args(tmp_path, work_dir=str(tmp_path), cfg_options={'a': 2}))
    assert cfg.filename == f'{tmp_path}/some_config_rerun.py' and cfg.a == 2
    other = cli.load_config(_args(tmp_path, work_dir=f'{tmp_path}/runs'))
    assert other.filename == f'{tmp_path}/some_config.py'


@pytest.mark.parametrize('out', ['labels', 'labels/made', 'labels/../labels', 'link', 'a.png'])
def test_pictures_are_not_written_among_what_is_read(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'labels')
    (tmp_path / 'a.png').touch()
    with pytest.raises(SystemExit, match=f'--out {out} would write over or among'):
        cli.keep_inputs(out, ['labels', 'a.png'])


def test_other_places_and_reports_beside_pictures_are_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'labels').mkdir()
    cli.keep_inputs('labels2', ['labels'])
    cli.keep_inputs('.', ['labels'])
    cli.keep_inputs('labels/scores.json', ['labels'])


def test_out_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / 'made').touch()
    for out in ('made', 'made/sub'):
        with pytest.raises(SystemExit, match='made is a file, but --out='):
            cli.need_folder(f'{tmp_path}/{out}')


@pytest.mark.parametrize('text', ['gpu', '', 'cuda:x', 'meta'])
def test_other_devices_are_a_usage_error(text):
    with pytest.raises(argparse.ArgumentTypeError, match='must be cpu, cuda or cuda:N, but got'):
        cli.device(text)


def test_counts_start_at_one():
    assert cli.number('3') == 3
    for text in ('0', '-1', '1.5', 'x'):
        with pytest.raises(argparse.ArgumentTypeError, match='whole number from 1, but got'):
            cli.number(text)


def test_missing_config_is_one_sentence(tmp_path):
    args = _args(tmp_path, config='configs/nope.py')
    with pytest.raises(SystemExit, match='^error: no config at configs/nope.py'):
        cli.load_config(args)


def test_option_that_does_not_fit_is_one_sentence(tmp_path):
    args = _args(tmp_path, 'a = [1]\n', cfg_options={'a.7.b': 3})
    with pytest.raises(SystemExit, match='index from 0 to 0 after a$'):
        cli.load_config(args)


def test_option_below_none_names_the_option_only(tmp_path):
    options = {'a.0': 2, 'val_dataloader.dataset.data_root': 'x', 'b': 1}
    text = 'a = [1]\nval_dataloader = None\n'
    args = _args(tmp_path, text, cfg_options=options)
    with pytest.raises(SystemExit) as caught:
        cli.load_config(args)
    assert str(caught.value) == (
        f'error: --cfg-options do not fit {tmp_path}/some_config.py: val_dataloader '
        'is None there, so it has no dataset; leave '
        'val_dataloader.dataset.data_root out'
    )


def test_asked_for_cuda_is_one_sentence(no_cuda):
    with pytest.raises(SLNPError, match='finds no CUDA device here'):
        cli.build_runner(Config(dict(device='cuda', launcher='none')))


def test_launcher_without_its_variables_names_the_command(tmp_path, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(SystemExit, match='needs RANK, which torchrun sets: start with `torchrun'):
        cli.load_config(_args(tmp_path, launcher='pytorch'))
    with pytest.raises(SystemExit, match='needs SLURM_PROCID, which srun sets'):
        cli.load_config(_args(tmp_path, launcher='slurm'))


def test_other_launchers_without_cuda_are_sent_to_torchrun(no_cuda):
    with pytest.raises(SLNPError, match='start with torchrun and --launcher pytorch'):
        cli.build_runner(Config(dict(launcher='slurm')))


def test_more_processes_than_gpus_is_one_sentence(with_cuda, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '1')
    with pytest.raises(SLNPError, match='cuda:1 was asked for, but this machine has 1 CUDA'):
        cli.build_runner(Config(dict(launcher='pytorch')))


@pytest.mark.parametrize(
    'gpu, bf16, kind',
    [
        (False, False, 'SLNPBF16OptimWrapper'),
        (True, True, 'SLNPBF16OptimWrapper'),
        (True, False, 'AmpOptimWrapper'),
    ],
)
def test_amp_switches_each_wrapper(gpu, bf16, kind, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: gpu)
    monkeypatch.setattr('torch.cuda.is_bf16_supported', lambda emulated: bf16)
    one = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD'))))
    cli.enable_amp(one)
    assert one.optim_wrapper.type == kind
    two = Config(
        dict(
            optim_wrapper=dict(
                constructor='MultiOptimWrapperConstructor',
                generator=dict(type='OptimWrapper', optimizer={}),
                discriminator=dict(type='AmpOptimWrapper', optimizer={}),
            )
        )
    )
    cli.enable_amp(two)
    assert two.optim_wrapper.generator.type == kind
    assert two.optim_wrapper.discriminator.type == 'AmpOptimWrapper'


def test_amp_refuses_other_wrappers():
    cfg = Config(dict(optim_wrapper=dict(type='Other', optimizer={})))
    with pytest.raises(SLNPError, match='but the config has Other'):
        cli.enable_amp(cfg)


@pytest.mark.parametrize(
    'value, options', [(True, {}), (dict(mode='default'), dict(mode='default'))]
)
def test_compile_is_left_to_the_model(value, options, monkeypatch):
    """mmengine would compile train_step, optimizers and all."""
    seen = []
    model = SimpleNamespace(compile=lambda **given: seen.append(given))
    monkeypatch.setattr(
        'mmengine.runner.Runner.from_cfg',
        lambda cfg: seen.append(cfg) or SimpleNamespace(model=model),
    )
    cli.build_runner(Config(dict(launcher='none', compile=value)))
    assert 'compile' not in seen[0] and seen[1:] == [options]


def test_auto_scale_needs_a_base_batch_size():
    with pytest.raises(SystemExit, match='auto_scale_lr.base_batch_size=N'):
        cli.enable_auto_scale_lr(Config(dict(a=1)))
    cfg = Config(dict(auto_scale_lr=dict(base_batch_size=16)))
    cli.enable_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr.enable is True


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(strategy=dict(type='DeepSpeedStrategy')), 'strategy='),
        (dict(runner_type='FlexibleRunner'), 'runner_type=FlexibleRunner'),
        (
            dict(model_wrapper_cfg=dict(type='MMFullyShardedDataParallel')),
            'model_wrapper_cfg.type=MMFullyShardedDataParallel',
        ),
    ],
)
def test_strategies_for_one_optimizer_are_refused(options, text):
    with pytest.raises(SLNPError, match=f'^{text}.* is not supported: FSDP, DeepSpeed and'):
        cli.build_runner(Config(dict(launcher='none', **options)))


def test_figures_go_to_tensorboard_or_the_missing_package_is_named():
    cfg = Config(dict(visualizer=dict(vis_backends=[dict(type='LocalVisBackend')])))
    cli.log_to(cfg, 'tensorboard', 'TensorboardVisBackend')
    types = [backend['type'] for backend in cfg.visualizer.vis_backends]
    assert types == ['LocalVisBackend', 'TensorboardVisBackend']
    with pytest.raises(SystemExit, match='--nowhere needs the package nowhere, which is not inst'):
        cli.log_to(cfg, 'nowhere', 'WandbVisBackend')


def test_work_dir_stands_for_its_last_checkpoint(tmp_path):
    (tmp_path / 'iter_4.pth').touch()
    (tmp_path / 'last_checkpoint').write_text('/moved/away/iter_4.pth')
    expected = str(tmp_path / 'iter_4.pth')
    assert cli.find_checkpoint(str(tmp_path)) == expected
    assert cli.find_checkpoint(expected) == expected
    with pytest.raises(SystemExit, match='no checkpoint at .*iter_5.pth: tr'):
        cli.find_checkpoint(str(tmp_path / 'iter_5.pth'))


def test_work_dir_without_a_checkpoint_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.find_checkpoint(str(tmp_path))
    assert str(caught.value) == (
        f'error: no checkpoint in the work dir {tmp_path}: train one with tools/train.py, '
        'or give a file'
    )
    assert ''.join(capsys.readouterr()) == ''


@pytest.fixture
def from_cfg(monkeypatch):
    """Stand-in for the runner: a model and what it would resume."""

    def build(cfg):
        return argparse.Namespace(cfg=cfg, model=torch.nn.Linear(2, 3))

    monkeypatch.setattr(Runner, 'from_cfg', build)


def test_resume_finds_the_checkpoint_of_a_moved_work_dir(tmp_path, from_cfg):
    path = _save(tmp_path, torch.nn.Linear(2, 3))
    (tmp_path / 'last_checkpoint').write_text('/moved/away/model.pth')
    cfg = Config(dict(resume=True, work_dir=str(tmp_path), launcher='none'))
    assert cli.build_runner(cfg).cfg.load_from == str(path)


def test_resume_without_a_checkpoint_starts_anew(tmp_path, from_cfg):
    cfg = Config(dict(resume=True, work_dir=str(tmp_path), launcher='none'))
    assert cli.build_runner(cfg).cfg.load_from is None


def test_resume_of_another_class_count_is_one_sentence(tmp_path, from_cfg):
    _save(tmp_path, torch.nn.Linear(2, 5))
    (tmp_path / 'last_checkpoint').write_text('model.pth')
    cfg = Config(dict(resume=True, work_dir=str(tmp_path), launcher='none'))
    with pytest.raises(
        SLNPError,
        match=r'weight is \(5, 2\) in the file, but \(3, 2\) here; use the '
        r'config it was trained with \(another number of classes\?\)',
    ):
        cli.build_runner(cfg)


def test_resume_falls_back_to_the_last_whole_checkpoint(tmp_path):
    good = _save(tmp_path, torch.nn.Linear(2, 3)).read_bytes()
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


def _save(tmp_path, model):
    path = tmp_path / 'model.pth'
    torch.save({'state_dict': model.state_dict()}, path)
    return path


def test_fitting_checkpoint_passes(tmp_path):
    model = torch.nn.Linear(2, 3)
    check_checkpoint(_save(tmp_path, model), model)


def test_checkpoint_of_other_shapes_is_one_sentence(tmp_path):
    path = _save(tmp_path, torch.nn.Linear(2, 3))
    text = r'weight is \(3, 2\) in the file, but \(5, 2\) here'
    with pytest.raises(SLNPError, match=text):
        check_checkpoint(path, torch.nn.Linear(2, 5))


def test_checkpoint_of_other_classes_says_how_many_it_has(tmp_path):
    state = torch.nn.Linear(2, 3).state_dict()
    meta = dict(dataset_meta=dict(classes=('sky', 'road', 'car')))
    torch.save(dict(state_dict=state, meta=meta), tmp_path / 'a.pth')
    with pytest.raises(SLNPError) as caught:
        check_checkpoint(tmp_path / 'a.pth', torch.nn.Linear(2, 5))
    assert str(caught.value) == (
        f'{tmp_path}/a.pth does not fit this config: weight is (3, 2) in the '
        'file, but (5, 2) here; use the config it was trained with (its data '
        'set has 3 classes), or train anew'
    )


def test_part_of_a_model_passes_only_if_asked_for(tmp_path):
    path = _save(tmp_path, torch.nn.Linear(2, 3, bias=False))
    model = torch.nn.Linear(2, 3)
    check_checkpoint(path, model, whole=False)
    with pytest.raises(SLNPError, match='lacks 1 of 2 entries .*bias'):
        check_checkpoint(path, model)
    other = torch.nn.Sequential(torch.nn.Linear(2, 3))  # other names
    with pytest.raises(SLNPError, match='lacks 2 of 2'):
        check_checkpoint(path, other, whole=False)


def test_damaged_checkpoint_is_one_sentence(tmp_path):
    path = _save(tmp_path, torch.nn.Linear(2, 3))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SLNPError, match='cannot be read as a checkpoint'):
        check_checkpoint(path, torch.nn.Linear(2, 3))


def test_tool_prints_the_sentence_and_gives_1(capsys):
    assert cli.run_tool(lambda: history_statistic(dict, 'mean')) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: a checkpoint may look up only')
    assert len(error.splitlines()) == 1
    assert cli.run_tool(lambda: None) == 0


def test_folder_that_cannot_be_written_is_one_sentence(capsys):
    def refused():
        raise OSError(errno.EROFS, 'Read-only file system', '/media/x')

    assert cli.run_tool(refused) == 1
    assert capsys.readouterr().err == (
        'error: Read-only file system at /media/x: make room, mend the '
        'permissions, or choose another folder\n'
    )


def test_stopped_tool_is_one_sentence(capsys):
    def stopped():
        raise KeyboardInterrupt

    assert cli.run_tool(stopped) == 130
    assert capsys.readouterr().err == 'error: stopped\n'


def test_tool_keeps_the_traceback_of_a_bug(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        cli.run_tool(lambda: 1 // 0)
    monkeypatch.setenv('SLNP_MM_TRACEBACK', '1')
    with pytest.raises(ValueError, match='may look up'):
        cli.run_tool(lambda: history_statistic(dict, 'mean'))
