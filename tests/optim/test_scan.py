from dataclasses import replace

import numpy as np
import pytest
from instances import budgeted, instance
from numpy.testing import assert_allclose, assert_array_equal

from channels.arrays import changed
from optim.deadline import solve_kkt
from optim.deadlines import around, deadline_range, quickest, spaced, take
from optim.fastest import least_deadline
from optim.scan import picks, scan


def draw(rng, devices, options, kind="power", budgets=False):
    problem = instance(rng, devices, options, kind=kind, weakest_db=-15.0, spread_db=50.0, slack=0.2)
    return budgeted(rng, problem, 0.2) if budgets else problem


@pytest.mark.parametrize("kind", ["linear", "power", "polygon"])
@pytest.mark.parametrize("budgets", [False, True])
@pytest.mark.parametrize("options", [1, 5])
def test_a_scan_finds_the_dual_value_within_what_points_cost(rng, kind, budgets, options):
    problem = draw(rng, 8, options, kind, budgets)
    many = replace(problem, deadline=least_deadline(problem) * np.geomspace(1.001, 4.0, 25))
    exact = solve_kkt(many)
    found, finer = scan(many), scan(many, exact.price, points=64)
    useful = exact.lower_bound < 0.99
    assert useful.any()
    assert np.all(found.loss[~useful] > 0.97)
    error, less = (v.loss[useful] - exact.lower_bound[useful] for v in (found, finer))
    assert np.all((error > -1.1e-3) & (error < 1e-2))         # the top to its tolerance; points stand for curves, above them
    assert np.all((less > -1.1e-3) & (less < 2e-3))


def test_a_scan_knows_ample_bands_and_impossible_rows(rng):
    problem = draw(rng, 4, 3)
    least = float(least_deadline(problem))
    found = scan(replace(problem, deadline=np.array([0.99 * least, 1e6 * least])))
    assert found.loss[0] == np.inf
    assert_allclose(found.loss[1], np.sum(problem.noise.min(-1)), rtol=1e-9)
    assert found.price[1] == 0
    assert_array_equal(found.spent[1], problem.noise.argmin(-1))


def test_rows_of_a_scan_do_not_depend_on_their_neighbours(rng):
    problem = draw(rng, 4, 3)
    many = replace(problem, gain=problem.gain * rng.uniform(0.5, 2.0, (3, 2, 4)), deadline=3 * problem.deadline)
    whole = scan(many)
    assert whole.loss.shape == (3, 2)
    assert whole.spent.shape == (3, 2, 4)
    for row in np.ndindex(3, 2):
        assert_allclose(scan(replace(many, gain=many.gain[row])).loss, whole.loss[row], atol=1.1e-3)


def test_rows_that_have_a_band_of_their_own_keep_it_under_many_deadlines(rng):
    problem = draw(rng, 4, 3)
    gain, band = problem.gain * rng.uniform(0.5, 2.0, (3, 4)), problem.band * np.array([0.5, 1.0, 2.0])
    many = replace(problem, gain=gain, band=band, deadline=problem.deadline * np.array([1.5, 3.0])[:, None])
    whole = scan(many)
    assert whole.loss.shape == (2, 3)
    for row in range(3):
        one = replace(problem, gain=gain[row], band=band[row], deadline=many.deadline[:, 0])
        assert_allclose(scan(one).loss, whole.loss[:, row], atol=1.1e-3)


@pytest.mark.parametrize("budgets", [False, True])
@pytest.mark.parametrize("options", [1, 4])
def test_the_range_of_deadlines_begins_where_feasibility_does_and_ends_where_nothing_is_lost(rng, budgets, options):
    for devices in (1, 4, 30):
        problem = draw(rng, devices, options, budgets=budgets)
        low, high = deadline_range(problem)
        least = least_deadline(problem)
        assert least <= low <= least * 1.0005
        assert quickest(problem) <= least
        assert solve_kkt(changed(problem, deadline=low)).status.feasible
        if np.isfinite(high):
            nothing = np.sum(np.broadcast_to(problem.noise, problem.shape).min(-1))
            assert_allclose(solve_kkt(changed(problem, deadline=high)).objective, nothing, rtol=1e-6)
            if high > 1.01 * low:
                assert solve_kkt(changed(problem, deadline=0.999 * high)).objective > nothing * (1 + 1e-9)


def test_where_no_deadline_will_do_the_range_says_so(rng):
    problem = draw(rng, 3, 2)
    rows = replace(problem, gain=np.stack([problem.gain, 0 * problem.gain]))
    low, high = deadline_range(rows)
    assert np.isfinite(low[0])
    assert np.isinf(low[1]) & np.isinf(high[1])
    assert np.all(np.isinf(deadline_range(replace(problem, energy_budget=np.full(3, 1e-9)))))


def test_grids_are_taken_from_row_by_row():
    grid = spaced(np.array([1.0, 10.0]), np.array([16.0, 160.0]), 5)
    assert_allclose(grid[:, 0], [1, 2, 4, 8, 16])
    best = np.array([0, 3])
    assert_allclose(take(grid, best), [1, 80])
    assert_allclose(around(grid, best, 3), [[1, 40], [2**0.5, 80], [2, 160]])
    assert_allclose(take(np.stack([grid, -grid], axis=-1), best), [[1, -1], [80, -80]])


def test_columns_are_picked_for_each_device():
    values, options = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.array([[[2, 0], [1, 1]]])
    assert_allclose(picks(values, options), [[[3, 1], [5, 5]]])
    assert_allclose(picks(values[:, :1], options), values[:, :1])
