"""Two processes with half the batch each train as one with all of it."""

import copy
import multiprocessing
from functools import partial

import torch
from mmengine.logging import MessageHub
from mmengine.model import MMSeparateDistributedDataParallel

from slnp_mm.engine.optimizers import AMM

STEPS = 5
# in float64: the same sums in another order; AMM takes full steps for float32's rounding errors
TOLERANCE = 1e-12


def train(tools, world=1, rank=0):
    """Weights after five steps: one discriminator of each kind, codes, EMA, given noise."""
    cfg = copy.deepcopy(tools.MODEL)
    cfg['discriminator'] = [cfg['discriminator'], tools.PRETRAINED]
    cfg['gan_loss'] = dict(type='SLNPGANLoss', gan_type='hinge')
    cfg.update(noise='prior', code_share=0.5)
    cfg['ema_config'] = dict(type='ExponentialMovingAverage', momentum=0.1, interval=1)
    model = tools.build(cfg)
    tools.train_statistics(model.noise_prior)
    model.double()

    def double_images(module, args, data):
        data['inputs']['img'] = data['inputs']['img'].double()

    model.data_preprocessor.register_forward_hook(double_images)
    torch.manual_seed(7)
    whole = torch.randn(STEPS, 2, 4, 2, 2, dtype=torch.float64)
    net = MMSeparateDistributedDataParallel(model) if world > 1 else model
    net.train()
    wrappers = tools.make_wrappers(model, optimizer=partial(AMM, betas=(0, 0.99)))

    for step in range(STEPS):
        MessageHub.get_current_instance().update_info('iter', step)
        # images 0 and 1 have their own codes as noise, 2 and 3 white noise
        parts = [tools.make_data(size=64, seed=2 * step + k) for k in range(2)]
        data = {key: parts[0][key] + parts[1][key] for key in parts[0]}
        data = {key: [values[i] for i in range(rank, 4, world)] for key, values in data.items()}
        white = whole[step, rank::world]
        model.noise_fn = lambda *_, white=white, **__: model.noise_prior.shape_noise(white)
        net.train_step(data, wrappers)
    state = model.state_dict()
    return {key.replace('.module.', '.'): value for key, value in state.items()}


def work(tools, rank, out):
    """One process of a gloo group."""
    torch.set_num_threads(1)
    meeting = f'file://{out}_meeting'  # no port that another process may take
    torch.distributed.init_process_group('gloo', meeting, rank=rank, world_size=2)
    torch.save(train(tools, 2, rank), f'{out}{rank}')


def test_two_processes_with_half_the_batch_train_as_one(tools, tmp_path):
    start = tools.build(copy.deepcopy(tools.MODEL)).state_dict()
    one = train(tools)
    # forked, because importing mmagic anew takes most of a minute here
    context, out = multiprocessing.get_context('fork'), str(tmp_path / 'rank')
    jobs = [context.Process(target=work, args=(tools, rank, out)) for rank in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(timeout=600)
        if job.is_alive():
            job.kill()
    assert [job.exitcode for job in jobs] == [0, 0]

    two = [torch.load(f'{out}{rank}', weights_only=True) for rank in range(2)]
    moved = max((one[key] - start[key]).abs().max() for key in start if 'generator.' in key)
    assert moved > 1e-3
    assert one.keys() == two[0].keys()
    for key, value in one.items():
        assert two[0][key].equal(two[1][key]), key
        torch.testing.assert_close(value, two[0][key], rtol=0, atol=TOLERANCE, msg=key)
