from dataclasses import replace

import numpy as np
import pytest
from instances import instance
from numpy.testing import assert_allclose

from optim.advice import advice
from optim.allocation import Status
from optim.answer import at_full_power
from optim.deadline import residual, solve_kkt
from optim.fastest import least_deadline
from optim.shares import equal_shares, solve_shares
from optim.time_to_accuracy import time_to_accuracy, worth_of_progress
from optim.worth import Goal


@pytest.mark.parametrize("options", [1, 3])
def test_the_least_deadline_is_where_feasibility_begins(rng, options):
    for devices in (1, 4, 30):
        problem = instance(rng, devices, options)
        shortest = least_deadline(problem)
        assert solve_kkt(replace(problem, deadline=shortest * (1 + 1e-7))).status is Status.OPTIMAL
        assert not solve_kkt(replace(problem, deadline=shortest * (1 - 1e-7))).status.feasible


def test_equal_shares_waste_the_price_of_the_band(rng):
    for _ in range(10):
        problem = instance(rng, 6, 3, spread_db=30.0)
        problem = replace(problem, deadline=1.2 * least_deadline(problem, equal_shares(6)))
        equal, joint = solve_shares(problem, equal_shares(6)), solve_kkt(problem)
        assert equal.status is joint.status is Status.OPTIMAL
        assert_allclose(equal.bandwidth, problem.band / 6)
        assert residual(problem, equal).feasibility < 1e-8
        assert joint.objective <= equal.objective * (1 + 1e-9)
        assert equal.lower_bound <= joint.objective


def test_equal_shares_are_exact_for_equal_devices(rng):
    one = instance(rng, 1, slack=0.3)
    costs = type(one.costs)(*(np.repeat(v, 4, 0) for v in vars(one.costs).values()))
    same = replace(one, costs=costs, gain=np.repeat(one.gain, 4), peak_power=np.repeat(one.peak_power, 4), noise=np.array(0.0),
                   pruning=type(one.pruning)(np.repeat(one.pruning.scale, 4, 0), np.repeat(one.pruning.exponent, 4, 0)))
    same = replace(same, band=4 * one.band)
    assert_allclose(solve_shares(same, equal_shares(4)).objective, solve_kkt(same).objective, rtol=1e-8)


def test_full_power_is_sooner_and_costs_more(rng):
    problem = instance(rng, 5, slack=100.0)
    found = solve_kkt(problem)
    loud = at_full_power(problem, found)
    assert np.all(loud.latency < found.latency)
    assert np.all(loud.energy > found.energy)
    assert_allclose(loud.power, problem.peak_power)


@pytest.mark.parametrize("shares", [None, equal_shares(6)])
@pytest.mark.parametrize("worth", [None, 2.0])
def test_the_best_round_beats_a_fine_grid_of_deadlines(rng, shares, worth):
    problem = instance(rng, 6, 3, spread_db=40.0)
    found = time_to_accuracy(problem, worth, shares=shares)
    grid = np.geomspace(least_deadline(problem, shares) * (1 + 1e-9), 5 * found.deadline, 150)
    every = replace(problem, deadline=grid)
    loss = (solve_kkt(every, rtol=1e-6) if shares is None else solve_shares(every, shares)).objective

    def score(time, loss):
        return time / (1 - loss) if worth is None else time + worth * loss

    best = np.min(np.where(loss < 1, score(grid, np.minimum(loss, 0.999999)), np.inf))
    assert score(found.deadline, found.objective) <= best * 1.01           # the search itself is on a grid


@pytest.mark.parametrize("worth", [None, "beforehand"])
@pytest.mark.parametrize(("devices", "options"), [(5, 2), (8, 4), (6, 9)])
def test_a_start_from_the_last_round_leaves_the_objective_as_it_is(rng, worth, devices, options):
    """To 1e-3 of the round's time, over random fades; a start from far off, or of nothing, too."""
    problem = instance(rng, devices, options, weakest_db=-5.0, spread_db=30.0)
    gains = problem.gain * np.maximum(rng.exponential(size=(12, devices)), 0.05)
    gains[6] *= 0.03                                                     # a jump
    worth = None if worth is None else worth_of_progress(replace(problem, gain=gains))
    goal, last = Goal(worth, 1.0), None
    for gain in gains:
        now = replace(problem, gain=gain)
        cold, last = time_to_accuracy(now, worth), time_to_accuracy(now, worth, start=last)
        far = time_to_accuracy(now, worth, start=replace(cold, deadline=30 * cold.deadline, price=0 * cold.price))
        scores = [float(goal.score(found.deadline, found.objective)) for found in (cold, last, far)]
        assert np.ptp(scores) <= 1e-3 * cold.deadline
    dead = time_to_accuracy(replace(problem, gain=0 * problem.gain), worth, start=last)
    assert dead.status is Status.LINK
    assert time_to_accuracy(now, worth, start=dead).status is Status.OPTIMAL


def test_a_batch_starts_from_a_batch_as_its_rows_do(rng):
    problem = instance(rng, 5, 3, weakest_db=-5.0, spread_db=30.0)
    gains = problem.gain * np.maximum(rng.exponential(size=(2, 4, 5)), 0.05)
    before, now = (replace(problem, gain=gain) for gain in gains)
    start = time_to_accuracy(before, 1.0)
    found, goal = time_to_accuracy(now, 1.0, start=start), Goal(1.0, 1.0)
    assert found.deadline.shape == (4,)
    for row in range(4):
        alone = time_to_accuracy(replace(problem, gain=gains[1, row]), 1.0, start=start.row(row))
        assert_allclose(goal.score(found.deadline[row], found.objective[row]), goal.score(alone.deadline, alone.objective),
                        atol=2e-3 * float(alone.deadline))                      # a batch is not branched on


def test_the_worth_of_progress_is_the_ratio_of_means_that_its_own_policy_attains(rng):
    problem = instance(rng, 5, 2, spread_db=30.0)
    many = replace(problem, gain=problem.gain * rng.exponential(size=(40, 5)))
    worth = worth_of_progress(many)
    rounds = [time_to_accuracy(replace(problem, gain=gain), worth) for gain in many.gain]
    time, progress = np.mean([r.deadline for r in rounds]), np.mean([1 - r.objective for r in rounds])
    assert_allclose(time / progress, worth, rtol=0.03)             # found on a grid too
    greedy = [time_to_accuracy(replace(problem, gain=gain)) for gain in many.gain]
    assert time / progress <= np.mean([r.deadline for r in greedy]) / np.mean([1 - r.objective for r in greedy]) * 1.001


def test_a_hopeless_link_is_named_with_its_device(rng):
    problem = instance(rng, 3)
    found = solve_kkt(replace(problem, gain=problem.gain * [1, 0, 1]))
    assert found.status is Status.LINK
    assert "device 1 has no usable link" in advice(replace(problem, gain=problem.gain * [1, 0, 1]), found)


def test_a_short_deadline_is_named_with_the_shortest_that_would_do(rng):
    problem = instance(rng, 3)
    short = replace(problem, deadline=0.005)
    found = solve_kkt(short)
    assert found.status is Status.DEADLINE
    assert f"allow at least {float(least_deadline(problem)):.4g} s" in advice(short, found)


def test_a_narrow_band_is_named_with_what_is_needed(rng):
    problem = instance(rng, 4, weakest_db=20.0, spread_db=10.0, slack=0.5)
    narrow = replace(problem, band=problem.band / 3)
    assert solve_kkt(narrow).status is Status.BAND
    sentence = advice(narrow, solve_kkt(narrow))
    needed = 1e6 * float(sentence.split(" MHz are needed")[0].split()[-1])
    assert solve_kkt(replace(narrow, band=needed * 1.001)).status.feasible


def test_a_small_energy_budget_is_named_with_its_devices(rng):
    problem = replace(instance(rng, 3, slack=5.0), energy_budget=np.array([np.inf, 1e-6, 1e-6]))
    found = solve_kkt(problem)
    assert found.status is Status.ENERGY
    assert "devices 1 and 2 have too small an energy budget" in advice(problem, found)


@pytest.mark.parametrize("change", [{"deadline": 1e-3}, {"gain": np.zeros(3)}, {"energy_budget": np.full(3, 1e-9)}])
@pytest.mark.parametrize("solve", [solve_kkt, lambda p: solve_shares(p, equal_shares(3)), time_to_accuracy])
def test_infeasible_is_an_answer_without_nan(rng, change, solve):
    problem = replace(instance(rng, 3, 2), **change)
    if solve is time_to_accuracy and "deadline" in change:
        return                                                  # it chooses its own
    found = solve(problem)
    assert not found.status.feasible
    assert found.objective == np.inf
    assert found.gap == np.inf
    for values in (found.ratio, found.bandwidth, found.power, found.latency, found.energy):
        assert np.all(values == 0)


def test_full_power_does_not_break_a_budget(rng):
    problem = instance(rng, 5, slack=100.0)
    quiet = solve_kkt(problem)
    tight = replace(problem, energy_budget=np.where(np.arange(5) < 2, quiet.energy * 1.01, np.inf))
    loud = at_full_power(tight, quiet)
    assert np.all(loud.energy <= tight.energy_budget)
    assert_allclose(loud.power[:2], quiet.power[:2])
    assert_allclose(loud.power[2:], problem.peak_power[2:])


def test_a_dead_link_is_no_hindrance_to_who_has_nothing_to_say(rng):
    problem = instance(rng, 1, slack=1.0)
    nothing = np.zeros((1, 1))
    silent = replace(problem, gain=np.zeros(1), costs=replace(problem.costs, fixed_bits=nothing, kept_bits=nothing))
    assert solve_kkt(silent).status is Status.OPTIMAL
    assert np.isfinite(least_deadline(silent))
