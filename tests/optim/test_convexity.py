"""The convexity theorem of ``docs/theory.md``, 2: where it holds, where it ends, and what the solver makes of it.

Power and energy are asked of the code: over the noise, p = b (2^{r / b} - 1) and the energy on air is the same function of the
load U and of s = t b. At a point with slack t = 1 and load U = 1 the theorem has three numbers left: C, D and the crowding w.
"""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from channels.rates import LN2, bandwidth_for, rate, reach_for
from optim.band import least_band, ratio_range
from optim.costs import RoundCosts
from optim.deadline import solve_kkt
from optim.problem import Deadline
from optim.pruning_cost import PowerLaw

ROUNDING = 1e-12
positive = st.floats(0.0, 0.9)
crowding = st.floats(-2.0, 1.3).map(lambda e: 10.0**e)
many = settings(max_examples=300, deadline=None)


def power(x, b, kept_time, kept_load):
    """p G at slack 1 - x C and load 1 + x D."""
    return float(reach_for((1 + x * kept_load) / (1 - x * kept_time), b))


def energy(x, b, kept_time, kept_load):
    """Energy on air times G."""
    return float(reach_for(1 + x * kept_load, (1 - x * kept_time) * b))


def bend(value, b, slope, kept_time, kept_load, step=1e-2):
    """Second difference at x = 0 where the band changes by ``slope`` b per unit of x, relative to the value."""
    ends = [value(x, b * (1 + slope * x), kept_time, kept_load) for x in (-step, step)]
    middle = value(0.0, b, kept_time, kept_load)
    return (sum(ends) / 2 - middle) / middle


def steepest(kept_time, kept_load):
    """The direction in which the energy in a wide band bends least: along b ~ U / sqrt(t)."""
    return kept_load + kept_time / 2


@pytest.mark.parametrize("value", [power, energy])
@many
@given(data=st.data(), kept_time=positive, kept_load=st.floats(0.0, 5.0), start=crowding, end=crowding)
def test_power_and_energy_are_convex_in_pruning_and_band_together(value, data, kept_time, kept_load, start, end):
    """Between any two points of the allowed range, also with a negative fixed load (D > U at x = 1)."""
    low = -min(1 / kept_load, 1.0) if kept_load else -1.0
    x = [data.draw(st.floats(low, 1.0)) for _ in range(2)]
    b = [LN2 / start, LN2 / end]
    crowded = max((1 + x * kept_load) * LN2 / ((1 - x * kept_time) * b) for x, b in zip(x, b, strict=True))
    assume(crowded < 200)                                                                # doubles end at 700
    ends = [value(x, b, kept_time, kept_load) for x, b in zip(x, b, strict=True)]
    assert value(np.mean(x), np.mean(b), kept_time, kept_load) <= np.mean(ends) * (1 + ROUNDING) + ROUNDING


@many
@given(kept_time=st.floats(0.05, 0.9), margin=st.floats(0.05, 3.0), w=crowding, slope=st.floats(-5.0, 5.0))
def test_the_energy_is_convex_up_to_the_edge_of_its_condition(kept_time, margin, w, slope):
    """4 D t + 3 C U >= 0, also where keeping more means sending less."""
    kept_load = -(3 - margin) / 4 * kept_time
    for direction in (slope, steepest(kept_time, kept_load)):
        assert bend(energy, LN2 / w, direction, kept_time, kept_load) >= -ROUNDING


@many
@given(kept_time=st.floats(0.05, 0.9), excess=st.floats(0.5, 3.0))
def test_beyond_the_edge_the_energy_in_a_wide_band_is_not_convex(kept_time, excess):
    kept_load = -(3 + excess) / 4 * kept_time
    assert bend(energy, LN2 / 0.02, steepest(kept_time, kept_load), kept_time, kept_load) < -1e-8 * excess * kept_time**2


@many
@given(kept_time=st.floats(0.05, 0.9), excess=st.floats(0.5, 0.9), w=crowding, slope=st.floats(-5.0, 5.0))
def test_there_the_power_alone_may_still_be_convex(kept_time, excess, w, slope):
    """Its condition C (D t + C U) >= 0 is the weaker one."""
    kept_load = -(3 + excess) / 4 * kept_time
    for direction in (slope, kept_load + kept_time):
        assert bend(power, LN2 / w, direction, kept_time, kept_load) >= -ROUNDING


@many
@given(saved=st.floats(0.05, 0.9), margin=st.floats(0.1, 3.0))
def test_if_keeping_more_made_a_device_faster_neither_would_be_convex(saved, margin):
    kept_time, kept_load = -saved, saved * (1 + margin)
    assert bend(power, LN2 / 1e-3, 0.0, kept_time, kept_load) < 0
    assert bend(energy, LN2 / 1e-3, steepest(kept_time, kept_load), kept_time, kept_load) < 0


@many
@given(loud=st.floats(-3, 8), more=st.floats(0.01, 3.0), load=st.floats(0.1, 10.0))
def test_more_power_than_the_deadline_needs_costs_energy(loud, more, load):
    reaches = 10**loud * np.array([1.0, 1.0 + more])
    spent = reaches * load / rate(1.0, reaches)
    assert spent[1] > spent[0]


def device(kept_time, kept_bits, fixed_bits, kept_energy, budget, gain):
    """One device with a second for its round."""
    costs = RoundCosts(*(np.array([[v]]) for v in (0.05, kept_time, fixed_bits, kept_bits, 1e-3, kept_energy)))
    return Deadline(costs, gain=np.array([gain]), peak_power=np.array([0.1]), band=5e6, deadline=1.0, pruning=PowerLaw(1.0),
                    prune_max=0.9, energy_budget=np.array([budget]))


@many
@given(kept_time=st.just(0.0) | st.floats(0.01, 0.9), kept_bits=st.just(0.0) | st.floats(1e4, 1e6),
       fixed_bits=st.floats(1e4, 1e6), kept_energy=st.just(0.0) | st.floats(1e-3, 1e-2),
       budget=st.just(np.inf) | st.floats(2e-3, 0.1), gain=st.floats(6.5, 12.0), at=st.lists(positive, min_size=2, max_size=2))
def test_the_least_band_is_convex_and_grows_with_what_is_kept(kept_time, kept_bits, fixed_bits, kept_energy, budget, gain, at):
    problem = device(kept_time, kept_bits, fixed_bits, kept_energy, budget, 10**gain)
    low, high, _ = ratio_range(problem)
    assume(low < high)
    ratios = np.sort(high - np.array(at) * (high - low)[0, 0], axis=None)
    bands = [least_band(problem, np.array([[r]])).item() for r in (*ratios, ratios.mean())]
    assume(np.isfinite(bands).all())
    assert bands[2] <= (bands[0] + bands[1]) / 2 * (1 + 1e-9)
    assert bands[1] <= bands[0] * (1 + 1e-12)                                            # more pruning, less band


@pytest.mark.parametrize("gain", [1e8, 1e10])
def test_without_budget_the_least_band_is_that_of_full_power(gain):
    problem = device(0.2, 5e5, 1e5, 0.0, np.inf, gain)
    needed = (1e5 + 0.5 * 5e5) / (1.0 - 0.05 - 0.5 * 0.2)
    assert_allclose(least_band(problem, np.array([[0.5]])), bandwidth_for(needed, 0.1 * gain), rtol=1e-9)


@pytest.mark.parametrize("devices", [2, 5, 20, 61])
@pytest.mark.parametrize("filled", [0.137, 0.46, 0.81])
def test_though_all_equal_devices_are_torn_the_gap_is_that_of_one(devices, filled):
    """Options that lose 0 or 1 / K and need a wide band or a narrow one: answer and bound are counted by hand."""
    bits = np.tile([1e6, 2e5], (devices, 1))
    costs = RoundCosts(*(np.zeros_like(bits) for _ in range(2)), bits, *(np.zeros_like(bits) for _ in range(3)))
    wide, narrow = bandwidth_for([1e6, 2e5], 1e6)
    band = devices * (narrow + filled * (wide - narrow))
    problem = Deadline(costs, gain=np.full(devices, 1e7), peak_power=np.full(devices, 0.1), band=band, deadline=1.0,
                       pruning=PowerLaw(1.0), noise=np.tile([0.0, 1.0 / devices], (devices, 1)), prune_max=0.0)
    found, fit = solve_kkt(problem, branches=0), int(filled * devices)
    assert np.sum(found.option == 0) == fit
    assert_allclose(found.objective, 1 - fit / devices)
    assert_allclose(found.lower_bound, 1 - filled, rtol=1e-9)
    assert found.objective - found.lower_bound <= 1 / devices
