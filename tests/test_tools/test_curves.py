"""Plateaus, smoothing and reading of training curves."""

import json

import _curves as curves
import numpy as np
import pytest

from slnp_mm.errors import SLNPError


def write_log(folder, stamp, rows):
    path = folder / stamp / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(r if isinstance(r, str) else json.dumps(r)
                              for r in rows))  # fmt: skip


def test_moving_mean_equals_hand_worked_numbers():
    got = curves.moving_mean(np.array([0.0, 3, 6, 0, 1]), 3)
    assert got.tolist() == [0, 3, 3, 7 / 3, 1]
    got = curves.moving_mean(np.array([0.0, 3, 6, 0, 1]), 5)
    assert got.tolist() == [0, 3, 2, 7 / 3, 1]


@pytest.mark.parametrize('window', [0, 2, -1])
def test_moving_mean_refuses_even_windows(window):
    with pytest.raises(ValueError, match=f'odd.*{window}'):
        curves.moving_mean(np.ones(3), window)


def test_plateau_starts_where_the_curve_comes_within_the_tolerance():
    # 10, 9, ..., 1, then 0: the distance from the level 0 is at most
    # 0.1 * 10 from the value 1 on, which is index 9.
    values = np.array([*range(10, 0, -1), *[0] * 20], dtype=float)
    assert curves.plateau_start(values, window=1) == 9
    assert curves.plateau_start(-values, window=1) == 9
    assert curves.plateau_start(values + 7, window=1) == 9


def test_plateau_starts_after_the_last_excursion():
    values = np.array([10.0, 0, 0, 0, 8, *[0] * 15])
    assert curves.plateau_start(values, window=1) == 5


def test_plateau_is_none_for_a_curve_still_falling():
    assert curves.plateau_start(np.linspace(1, 0, 50), tolerance=0.05) is None


def test_plateau_of_a_constant_starts_at_once():
    assert curves.plateau_start(np.full(12, 3.0)) == 0


def test_plateau_is_found_under_noise():
    steps = np.arange(400)
    noise = np.random.default_rng(0).normal(0, 0.1, 400)
    values = np.exp(-steps / 20) * 5 + noise
    # 5 exp(-t / 20) falls to a tenth at t = 46.
    start = curves.plateau_start(values, window=11, tolerance=0.1)
    assert 36 <= start <= 56
    # the noise's 0.01, and the rest of the fall, from 0.5 to 0
    assert 0.01 < curves.swing_after(values, start) < 0.02


@pytest.mark.parametrize(
    'values, settings, text',
    [
        (np.ones(7), {}, 'at least 8 finite points, but got 7'),
        (np.array([np.nan] * 9), {}, '9 not finite'),
        (np.ones(9), dict(tolerance=0), 'tolerance.*0'),
        (np.ones(9), dict(tail=1.0), 'tail.*1.0'),
    ],
)
def test_plateau_refuses_what_it_cannot_judge(values, settings, text):
    with pytest.raises(ValueError, match=text):
        curves.plateau_start(values, **settings)


def test_swing_is_the_variance_from_the_plateau_on():
    assert curves.swing_after(np.array([9.0, 1, 3]), 1) == 1
    assert curves.swing_after(np.ones(3), None) is None


def test_band_is_mean_and_sample_deviation():
    mean, spread = curves.band([np.array([1.0, 2, 9]), np.array([3.0, 2])])
    assert mean.tolist() == [2, 2]
    assert spread.tolist() == pytest.approx([2**0.5, 0])
    assert curves.mean_spread([5.0]) == (5, 0)


def test_only_iterations_of_every_seed_are_compared():
    first = np.array([5, 10, 15]), np.array([1.0, 2, 3])
    second = np.array([5, 15, 20]), np.array([7.0, 8, 9])
    steps, values = curves.on_common_steps([first, second])
    assert steps.tolist() == [5, 15]
    assert [v.tolist() for v in values] == [[1, 3], [7, 8]]


def test_read_curves_sums_stages_and_prefers_the_later_attempt(tmp_path):
    write_log(tmp_path, '1', [
        dict(iter=5, step=5, loss_g_s0=1.0, loss_g_s1=2.0, loss_gx=9.0),
        dict(iter=10, loss_g_s0=5.0, loss_g_s1=5.0),
        dict(iter=15, loss_g_s0=7.0, loss_g_s1=7.0),
    ])  # fmt: skip
    write_log(tmp_path, '2', [
        dict(iter=10, loss_g_s0=1.0, loss_g_s1=1.0),
        dict(miou=0.5, time=3.0, step=10),
        '{"iter": 15, "loss_g_s',
    ])  # fmt: skip
    steps, values = curves.read_curves(tmp_path, ['loss_g'])['loss_g']
    assert steps.tolist() == [5, 10, 15] and values.tolist() == [3, 2, 14]
    assert curves.last_metrics(tmp_path) == dict(miou=0.5)


def test_read_curves_names_a_missing_curve(tmp_path):
    write_log(tmp_path, '1', [dict(iter=5, loss=1.0)])
    with pytest.raises(SLNPError, match='curve loss_g in the logs'):
        curves.read_curves(tmp_path, ['loss_g'])
