"""The multipliers are derivatives: each against central differences of the optimum itself."""

from dataclasses import replace

import numpy as np
import pytest
from instances import budgeted, instance
from numpy.testing import assert_allclose

from optim.deadline import solve_kkt
from optim.multipliers import multipliers

STEP = 1e-4       # relative
WHOLE = ("band", "deadline")
EACH = ("peak_power", "energy_budget")


def draw(rng, devices, kind, budgets, slack=0.3):
    """Links of 40 dB from the weakest to the strongest; half the devices with an energy budget, if any."""
    problem = instance(rng, devices, kind=kind, weakest_db=-10.0, spread_db=40.0, slack=slack)
    if not budgets:
        return problem
    tight = budgeted(rng, problem, slack)
    return replace(tight, energy_budget=np.where(np.arange(devices) % 2, np.inf, tight.energy_budget))


def slope(problem, name, unit=1.0):
    """What the optimum gains from one more of ``name``, of the devices in ``unit`` (K,), by a central difference."""
    value = getattr(problem, name)
    up, down = (solve_kkt(replace(problem, **{name: value * (1 + sign * STEP * unit)})).objective for sign in (1, -1))
    return (down - up) / (2 * STEP * np.sum(np.where(unit, value, 0.0)))


@pytest.mark.parametrize("kind", ["linear", "power"])
@pytest.mark.parametrize("budgets", [False, True])
@pytest.mark.parametrize("devices", [1, 4, 9])
@pytest.mark.parametrize("slack", [0.03, 0.3])
def test_multipliers_are_central_differences_of_the_optimum(rng, kind, budgets, devices, slack):
    problem = draw(rng, devices, kind, budgets, slack)
    found = solve_kkt(problem)
    worth = multipliers(problem, found)
    assert found.price > 0
    for name in WHOLE:
        assert_allclose(getattr(worth, name), slope(problem, name), rtol=1e-4)
    for name in EACH if budgets else EACH[:1]:
        value, mine = getattr(problem, name), getattr(worth, name)
        unseen = 1e-6 * found.objective / np.where(np.isfinite(value), value, 1.0)       # a difference shows no less
        for k in np.flatnonzero(np.isfinite(value)):
            assert_allclose(mine[k], slope(problem, name, np.arange(devices) == k), rtol=1e-4, atol=unseen[k])


def test_a_device_is_bound_by_its_amplifier_or_by_its_budget(rng):
    for _ in range(5):
        problem = draw(rng, 8, "power", True)
        worth = multipliers(problem, solve_kkt(problem))
        assert np.all((worth.peak_power > 0) ^ (worth.energy_budget > 0))
        assert np.all(worth.energy_budget[~np.isfinite(problem.energy_budget)] == 0)
        assert np.any(worth.energy_budget > 0)


def test_limits_that_do_not_bind_are_worth_nothing(rng):
    problem = draw(rng, 6, "power", False)
    found = solve_kkt(problem)
    lavish = replace(problem, energy_budget=10 * found.energy)
    worth = multipliers(lavish, solve_kkt(lavish))
    assert np.all(worth.energy_budget == 0)
    assert np.all(worth.peak_power > 0)
    thrifty = budgeted(rng, problem, 0.3, most=1.2)
    loud = replace(thrifty, peak_power=1e3 * thrifty.peak_power)
    worth = multipliers(loud, solve_kkt(loud))
    assert np.all(worth.peak_power == 0)
    assert np.all(worth.energy_budget > 0)


@pytest.mark.parametrize("budgets", [False, True])
def test_before_a_loose_deadline_nothing_is_scarce(rng, budgets):
    problem = draw(rng, 5, "power", False)
    loose = replace(problem, deadline=500 * problem.deadline, energy_budget=np.full(5, 1e3 if budgets else np.inf))
    found = solve_kkt(loose)
    worth = multipliers(loose, found)
    assert np.all(found.ratio == 0)
    assert all(np.all(values == 0) for values in vars(worth).values())


@pytest.mark.parametrize("budgets", [False, True])
def test_a_batch_of_multipliers_is_its_rows(rng, budgets):
    problem = draw(rng, 5, "power", budgets)
    deadlines = problem.deadline * np.array([0.01, 1.0, 1.3, 500.0])           # infeasible, binding twice, loose
    many = replace(problem, deadline=deadlines, energy_budget=problem.energy_budget * np.array([[1.0], [1.0], [1.1], [1e6]]))
    together = multipliers(many, solve_kkt(many))
    assert together.peak_power.shape == (4, 5)
    for row in range(4):
        alone = replace(problem, deadline=deadlines[row], energy_budget=many.energy_budget[row])
        expected = multipliers(alone, solve_kkt(alone))
        for name, values in vars(expected).items():
            assert_allclose(getattr(together, name)[row], values, rtol=1e-7)
    assert all(np.all(values[0] == np.inf) and np.all(values[3] == 0) for values in vars(together).values())


def test_with_several_options_the_multipliers_are_those_of_the_chosen_ones(rng):
    problem = instance(rng, 6, 3, weakest_db=-10.0, spread_db=40.0, slack=0.3)
    found = solve_kkt(problem)
    chosen = problem.of(found.option)
    for name, values in vars(multipliers(problem, found)).items():
        assert_allclose(values, getattr(multipliers(chosen, replace(found, option=0 * found.option)), name), rtol=1e-12)
    assert_allclose(multipliers(problem, found).deadline, slope(chosen, "deadline"), rtol=1e-4)
