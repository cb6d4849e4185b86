from dataclasses import replace

import numpy as np
import pytest
from instances import instance
from numpy.testing import assert_allclose

from channels.rates import rate, reach_for
from optim.band import LeastBand, band_and_relief, least_band, ratio_range
from optim.costs import energy, latency, slack, uplink_load


def budgeted(rng, devices=40):
    problem = instance(rng, devices, weakest_db=-10.0, spread_db=60.0, slack=1.0)
    return replace(problem, energy_budget=10 ** rng.uniform(-1.5, 1.0, devices))


def allowed_ratios(problem, shares):
    """Ratios at ``shares`` of the way from the lowest to the highest that some band allows (..., K, 1)."""
    low, high, _ = ratio_range(problem)
    return low + shares * np.maximum(high - low, 0.0), (low < high)[:, 0]


def test_the_least_band_meets_deadline_power_and_budget_and_one_of_them_exactly(rng):
    problem = budgeted(rng)
    ratio, possible = allowed_ratios(problem, 0.5)
    band = least_band(problem, ratio)
    needed = uplink_load(problem.costs, 1 - ratio) / slack(problem.costs, 1 - ratio, problem.deadline)
    power = reach_for(needed, band) / problem.gain[:, None]
    spent = energy(problem.costs, 1 - ratio, power, needed)
    at_limit = np.maximum(power / problem.peak_power[:, None], spent / problem.energy_budget[:, None])
    assert possible.sum() > 20
    assert_allclose(at_limit[possible], 1.0, rtol=1e-8)
    assert_allclose(latency(problem.costs, 1 - ratio, rate(band, power * problem.gain[:, None]))[possible], problem.deadline)


def test_some_devices_are_bound_by_power_and_others_by_their_budget(rng):
    problem = budgeted(rng)
    ratio, possible = allowed_ratios(problem, 0.5)
    free = least_band(replace(problem, energy_budget=np.array(np.inf)), ratio)
    by_energy = (least_band(problem, ratio) > free * (1 + 1e-9))[possible]
    assert 0 < by_energy.sum() < possible.sum()


def test_the_least_band_is_convex_and_falls_with_pruning(rng):
    problem = budgeted(rng, 400)
    a, b = rng.uniform(0.001, 1, (2, 400, 1))
    (ra, possible), (rb, _) = allowed_ratios(problem, a), allowed_ratios(problem, b)
    ends, middle = (least_band(problem, r) for r in (ra, rb)), least_band(problem, (ra + rb) / 2)
    mean = sum(ends) / 2
    assert np.all(middle[possible] <= mean[possible] * (1 + 1e-9))
    more, less = least_band(problem, np.maximum(ra, rb)), least_band(problem, np.minimum(ra, rb))
    assert np.all((more <= less * (1 + 1e-12))[possible])


def test_relief_is_the_slope_of_the_least_band(rng):
    problem = budgeted(rng)
    ratio, possible = allowed_ratios(problem, rng.uniform(0.2, 0.8, (40, 1)))
    step = 1e-6
    slope = -(least_band(problem, ratio + step) - least_band(problem, ratio - step)) / (2 * step)
    assert_allclose(band_and_relief(problem, ratio)[1][possible], slope[possible], rtol=1e-5)


def test_growth_is_the_relative_slope_of_the_relief(rng):
    problem = budgeted(rng)
    ratio, possible = allowed_ratios(problem, rng.uniform(0.2, 0.8, (40, 1)))
    reliefs = [np.log(band_and_relief(problem, ratio + step)[1]) for step in (1e-6, -1e-6)]
    growth = LeastBand.of(problem).at(ratio).growth
    assert_allclose(growth[possible], -((reliefs[0] - reliefs[1]) / 2e-6)[possible], rtol=1e-5)


@pytest.mark.parametrize("offset", [-1e-9, 1e-9])
def test_below_the_lowest_ratio_no_band_is_enough(rng, offset):
    problem = budgeted(rng)
    low, high, pole = ratio_range(problem)
    poles = (pole & (low < high))[:, 0]
    assert poles.any()
    finite = np.isfinite(least_band(problem, low + offset))[poles]
    assert finite.all() if offset > 0 else not finite.any()
