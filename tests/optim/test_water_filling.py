import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.optimize import brentq

from optim.water_filling import least_power, water_fill

WIDTH = 10e6


def rate(gain, width, power):
    return np.sum(width * np.log1p(power * gain / width), axis=-1) / np.log(2)


def links(rng, shape, weakest_db, strongest_db):
    """Gains [Hz/W] whose SNR at one watt in one subchannel is uniform in decibels."""
    return WIDTH * 10 ** (rng.uniform(weakest_db, strongest_db, shape) / 10)


@pytest.mark.parametrize("number", range(20))
def test_water_filling_agrees_with_cvxpy(rng, number):
    gain, power = links(rng, 12, -10, 40), 10 ** rng.uniform(-2, 1)
    gain[rng.random(12) < 0.3] = 0.0
    p = cp.Variable(12, nonneg=True)
    bits = cp.sum(cp.log1p(cp.multiply(gain / WIDTH, p)))
    cp.Problem(cp.Maximize(bits), [cp.sum(p) == power, p[gain == 0] == 0]).solve(solver=cp.CLARABEL)
    found = water_fill(gain, WIDTH, power)
    assert_allclose(found.sum(), power, rtol=1e-12)
    assert np.all(found[gain == 0] == 0)
    assert_allclose(rate(gain, WIDTH, found), WIDTH * bits.value / np.log(2), rtol=1e-6)


@pytest.mark.parametrize("number", range(20))
def test_water_filling_agrees_with_a_search_for_the_level_in_every_fade(rng, number):
    """From -60 to 120 dB, widths unequal: the level that spends the power, found by Brent's method."""
    gain, width = links(rng, 30, -60, 120), WIDTH * rng.uniform(0.5, 2, 30)
    power, noise = 10 ** rng.uniform(-3, 1), 1 / gain
    top = (power / width.min() + noise.max()) * 2
    level = brentq(lambda x: np.log(np.maximum(np.sum(width * np.maximum(x - noise, 0)), 1e-300) / power),
                   noise.min() * (1 + 1e-15), top, xtol=1e-300, rtol=1e-15)
    found = water_fill(gain, width, power)
    assert_allclose(found, width * np.maximum(level - noise, 0), rtol=1e-6, atol=1e-9 * power)
    assert_allclose(found.sum(), power, rtol=1e-12)


@pytest.mark.parametrize("number", range(20))
def test_least_power_undoes_water_filling(rng, number):
    gain, power = links(rng, (5, 20), -60, 60), 10 ** rng.uniform(-3, 1, 5)
    best = water_fill(gain, WIDTH, power)
    again = least_power(gain, WIDTH, rate(gain, WIDTH, best))
    assert_allclose(again.sum(-1), power, rtol=1e-9)
    assert_allclose(again, best, rtol=1e-6, atol=1e-9 * power.max())


def test_least_power_agrees_with_cvxpy(rng):
    gain, target = links(rng, 8, -5, 30), 60e6
    gain[:2] = 0.0
    p = cp.Variable(8, nonneg=True)
    bits = cp.sum(cp.log1p(cp.multiply(gain / WIDTH, p))) / np.log(2)
    problem = cp.Problem(cp.Minimize(cp.sum(p)), [bits >= target / WIDTH, p[:2] == 0])
    problem.solve(solver=cp.CLARABEL)
    found = least_power(gain, WIDTH, target)
    assert_allclose(found.sum(), problem.value, rtol=1e-6)
    assert_allclose(rate(gain, WIDTH, found), target, rtol=1e-12)


def test_little_power_in_a_deep_fade_goes_to_the_best_subchannel(rng):
    """The noise is 10^14 times the power: a level computed from noise + power would lose all of it."""
    gain = WIDTH * np.array([1e-14, 0.9e-14, 0.5e-14])
    assert_allclose(water_fill(gain, WIDTH, 1.0), [1.0, 0.0, 0.0], atol=1e-12)
    assert_allclose(least_power(gain, WIDTH, 1e-8)[0], 1e-8 * np.log(2) / gain[0], rtol=1e-12)


def test_equal_subchannels_share_alike():
    assert_allclose(water_fill(np.full(4, 1e7), WIDTH, 2.0), 0.5)
    assert_allclose(least_power(np.full(4, 1e7), WIDTH, 4 * WIDTH), 1.0)          # one bit a second and hertz: SNR 1


def test_a_wide_subchannel_is_two_narrow_ones(rng):
    gain = links(rng, 6, -20, 30)
    twice = water_fill(np.repeat(gain, 2), WIDTH / 2, 0.7)
    assert_allclose(water_fill(gain, WIDTH, 0.7), twice.reshape(6, 2).sum(-1), rtol=1e-9, atol=1e-15)


def test_no_subchannel_takes_no_power_and_carries_no_bit():
    gain = np.array([[0.0, 0.0], [0.0, 1e7]])
    assert_allclose(water_fill(gain, WIDTH, 1.0), [[0, 0], [0, 1]])
    assert_allclose(least_power(gain, WIDTH, WIDTH), [[np.inf, np.inf], [0, 1]])
    assert_allclose(least_power(gain, WIDTH, 0.0), 0)


def test_a_rate_beyond_the_doubles_asks_for_infinite_power():
    found = least_power(np.full((2, 2), 1e7), WIDTH, np.array([1e13, np.inf]))
    assert np.all(np.isinf(found))


def test_a_batch_is_its_rows(rng):
    gain, power = links(rng, (3, 4, 9), -40, 60), rng.uniform(0.1, 2, (3, 4))
    target = 1e7 * power
    for i in np.ndindex(3, 4):
        assert_allclose(water_fill(gain, WIDTH, power)[i], water_fill(gain[i], WIDTH, power[i]), rtol=1e-12)
        assert_allclose(least_power(gain, WIDTH, target)[i], least_power(gain[i], WIDTH, target[i]), rtol=1e-12)


def test_torch_tensors_give_what_numpy_arrays_give(rng):
    gain, power = links(rng, (4, 10), -60, 100), rng.uniform(0.1, 2, 4)
    gain[0] = 0.0
    for solve, amount in ((water_fill, power), (least_power, 1e7 * power)):
        found = solve(torch.asarray(gain), WIDTH, torch.asarray(amount))
        assert isinstance(found, torch.Tensor)
        assert_allclose(found.numpy(), solve(gain, WIDTH, amount), rtol=1e-12)


@pytest.mark.parametrize(("solve", "gain", "width", "amount", "sentence"), [
    (water_fill, [1.0, -1.0], 1.0, 1.0, r"gain must be .* \[Hz/W\]"),
    (water_fill, [1.0, np.nan], 1.0, 1.0, r"gain must be .* \[Hz/W\]"),
    (water_fill, [1.0], 0.0, 1.0, r"width must be .* \[Hz\]"),
    (water_fill, [1.0], 1.0, np.inf, r"power must be .* \[W\]"),
    (least_power, [1.0], 1.0, -1.0, r"rate must be .* \[bit/s\]"),
])
def test_bad_input_is_a_sentence(solve, gain, width, amount, sentence):
    with pytest.raises(ValueError, match=sentence):
        solve(np.array(gain), width, amount)
