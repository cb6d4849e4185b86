import itertools
from dataclasses import replace

import numpy as np
import pytest
from instances import instance
from numpy.testing import assert_allclose

from optim.allocation import Status
from optim.deadline import residual, solve_kkt
from optim.deadline_cvxpy import solve_cvxpy
from optim.fastest import least_deadline
from optim.fastest_round import FastestRound, solve_fastest

KINDS = ("linear", "power", "polygon")


def draw(rng, devices, options=1, kind="power", **how):
    """A limit that some deadline between 2 % and 200 % above the shortest attains."""
    cell = instance(rng, devices, options, kind=kind, slack=10 ** rng.uniform(-1.7, 0.3),
                    **{"weakest_db": -10.0, "spread_db": 50.0, **how})
    return FastestRound(replace(cell, deadline=1.0), solve_kkt(cell).objective), float(cell.deadline)


@pytest.mark.parametrize("number", range(24))
def test_the_fastest_round_undoes_the_deadline_problem(rng, number):
    """The limit is what a deadline costs, so that deadline comes back."""
    problem, deadline = draw(rng, int(rng.choice([1, 2, 5, 10])), kind=KINDS[number % 3],
                             weakest_db=-40.0 if number % 8 == 0 else -10.0)
    found = solve_fastest(problem)
    if solve_kkt(replace(problem.cell, deadline=deadline)).price > 0:
        assert_allclose(found.allocation.deadline, deadline, rtol=1e-8)
        assert_allclose(found.least_latency, deadline, rtol=1e-8)
    assert found.allocation.status is Status.OPTIMAL
    assert found.allocation.objective <= problem.most_loss * (1 + 1e-9)


@pytest.mark.parametrize("number", range(50))
def test_a_cone_program_is_within_the_limit_just_above_and_not_just_below(rng, number):
    problem, _ = draw(rng, int(rng.integers(1, 8)), kind=KINDS[number % 3])
    problem = replace(problem, most_loss=np.sum(problem.cell.noise) + rng.uniform(0.02, 0.5))
    latency = solve_fastest(problem).allocation.deadline
    above, below = (solve_cvxpy(replace(problem.cell, deadline=latency * (1 + d))).objective for d in (1e-6, -1e-6))
    assert above <= problem.most_loss * (1 + 1e-8)
    assert below > problem.most_loss * (1 - 1e-8)


@pytest.mark.parametrize("number", range(20))
def test_no_choice_of_options_ends_before_the_lower_bound(rng, number):
    devices, options = int(rng.integers(1, 4)), int(rng.integers(2, 4))
    problem, _ = draw(rng, devices, options, KINDS[number % 3])
    found = solve_fastest(problem)
    choices = np.array(list(itertools.product(range(options), repeat=devices)))
    every = solve_fastest(replace(problem, cell=problem.cell.of(choices))).allocation.deadline
    assert found.least_latency <= every.min() * (1 + 1e-9)
    assert every.min() * (1 - 1e-9) <= found.allocation.deadline <= 1.01 * every.min()


def test_a_limit_that_forbids_pruning_leaves_the_least_deadline(rng):
    cell = instance(rng, 6)
    found = solve_fastest(FastestRound(cell, np.sum(cell.noise)))
    assert_allclose(found.allocation.deadline, least_deadline(replace(cell, prune_max=0.0)), rtol=1e-11)
    assert_allclose(found.allocation.ratio, 0.0, atol=1e-5)


def test_without_a_limit_the_round_is_pruned_to_the_end_and_progress_has_no_price(rng):
    cell = instance(rng, 6)
    found = solve_fastest(FastestRound(cell, np.inf))
    assert_allclose(found.allocation.deadline, least_deadline(cell), rtol=1e-10)
    assert found.loss_price == 0


@pytest.mark.parametrize("budgeted", [False, True])
def test_both_prices_are_slopes_of_the_latency(rng, budgeted):
    problem, deadline = draw(rng, 5, weakest_db=-10.0, spread_db=40.0)
    if budgeted:
        spent = solve_kkt(replace(problem.cell, deadline=deadline)).energy
        problem = replace(problem, cell=replace(problem.cell, energy_budget=spent * np.array([0.97, 1.1, 0.95, 2.0, 0.99])))
    found = solve_fastest(problem)

    def latency(band=0.0, loss=0.0):
        cell = replace(problem.cell, band=problem.cell.band * (1 + band))
        return solve_fastest(FastestRound(cell, problem.most_loss * (1 + loss))).allocation.deadline

    step = 1e-4
    assert_allclose(found.band_price, (latency(-step) - latency(step)) / (2 * step * problem.cell.band), rtol=1e-4)
    assert_allclose(found.loss_price, (latency(0, -step) - latency(0, step)) / (2 * step * problem.most_loss), rtol=1e-4)


@pytest.mark.parametrize("change", [
    lambda p: replace(p, cell=replace(p.cell, band=1.1 * p.cell.band)), lambda p: replace(p, most_loss=1.1 * p.most_loss),
    lambda p: replace(p, cell=replace(p.cell, gain=1.5 * p.cell.gain)),
    lambda p: replace(p, cell=replace(p.cell, prune_max=0.95))])
def test_more_of_anything_never_takes_longer(rng, change):
    problem, _ = draw(rng, 6, 3)
    assert solve_fastest(change(problem)).least_latency <= solve_fastest(problem).allocation.deadline * (1 + 1e-9)


def test_a_batch_is_its_rows_one_by_one(rng):
    problem, _ = draw(rng, 5, 2)
    gains = problem.cell.gain * rng.exponential(size=(4, 5))
    limits = problem.most_loss * np.array([1.0, 1e-3, 3.0, 0.9])
    batch = solve_fastest(FastestRound(replace(problem.cell, gain=gains), limits))
    for row in range(4):
        alone = solve_fastest(FastestRound(replace(problem.cell, gain=gains[row]), limits[row]))
        assert batch.allocation.status[row] is alone.allocation.status
        assert np.all(batch.least_latency[row] <= alone.least_latency * (1 + 1e-9))          # one alone is branched on
        assert np.all(alone.allocation.deadline <= batch.allocation.deadline[row] * (1 + 1e-9))


def test_a_limit_below_what_the_options_cost_is_an_answer(rng):
    cell = instance(rng, 3, 2)
    found = solve_fastest(FastestRound(cell, 0.5 * cell.noise.min(-1).sum()))
    assert found.allocation.status is Status.LOSS
    assert found.allocation.deadline == found.allocation.objective == found.gap == np.inf
    assert np.all(found.allocation.bandwidth == 0)


def test_a_dead_link_is_an_answer(rng):
    cell = instance(rng, 3, 2)
    found = solve_fastest(FastestRound(replace(cell, gain=np.zeros(3)), 1.0))
    assert found.allocation.status is Status.LINK
    assert found.allocation.deadline == np.inf


def test_the_answer_keeps_every_limit(rng):
    problem, _ = draw(rng, 8, 3)
    found = solve_fastest(problem).allocation
    assert residual(replace(problem.cell, deadline=found.deadline), found).feasibility < 1e-8


def test_a_negative_limit_is_named(rng):
    with pytest.raises(ValueError, match=r"most_loss must be within \[0, inf\] \[1\]"):
        FastestRound(instance(rng, 2), -1.0)
