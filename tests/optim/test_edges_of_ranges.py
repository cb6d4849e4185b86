"""Answers where ranges end: limits at a knot, laws that are all but linear, ties, and what is no problem at all."""

from dataclasses import replace

import numpy as np
import pytest
from instances import instance
from numpy.testing import assert_allclose, assert_array_equal

from optim.advice import advice
from optim.allocation import Status
from optim.baselines import BASELINES
from optim.costs import RoundCosts
from optim.deadline import residual, solve_kkt
from optim.deadline_cvxpy import solve_cvxpy
from optim.fastest import least_deadline
from optim.fastest_round import FastestRound, solve_fastest
from optim.multipliers import multipliers
from optim.problem import Deadline
from optim.pruning_cost import PiecewiseLinear, PowerLaw
from optim.shares import solve_shares
from optim.time_to_accuracy import time_to_accuracy

NONE = np.zeros((2, 1))
POLYGON = PiecewiseLinear([0, 0.2, 0.5, 0.9], [[[0, 0.1, 0.4, 1.0]]])


@pytest.mark.parametrize("number", range(12))
def test_a_limit_at_a_knot_of_the_cost_is_kept(number):
    """The slope beyond the limit is none of the problem's: decisions are in time, and the bound is one."""
    rng = np.random.default_rng(number)
    problem = Deadline(RoundCosts(NONE, NONE, NONE, NONE + 1e6, NONE, NONE), 10 ** rng.uniform(6.2, 7.2, 2), 0.1, 1e5, 1.0,
                       POLYGON, prune_max=0.5)
    problem = replace(problem, deadline=rng.uniform(1.02, 2.0) * least_deadline(problem))
    grade = residual(problem, found := solve_kkt(problem))
    assert found.status is Status.OPTIMAL
    assert max(grade.feasibility, grade.gap) < 1e-9
    assert_allclose(found.objective, solve_cvxpy(problem).objective, rtol=1e-6)


@pytest.mark.parametrize("exponent", [1.01, 1.03, 1.06])
@pytest.mark.parametrize(("kept", "deadline"), [(1e4, 0.3489), (1e6, 0.5335)])
def test_a_law_that_is_all_but_linear_is_solved_from_wherever_it_starts(exponent, kept, deadline):
    problem = Deadline(RoundCosts(NONE, NONE, NONE + 1e6, NONE + kept, NONE, NONE), np.array([4.334e8, 1.861e8]), 0.1, 1e6,
                       deadline, PowerLaw(0.25, exponent), prune_max=0.5)
    right = solve_cvxpy(problem).objective
    for price in (None, 1e-12, 1e-6, 1.0):
        found = solve_kkt(problem, price=price)
        assert found.status is Status.OPTIMAL
        assert_allclose(found.objective, right, rtol=1e-6)
        assert found.lower_bound <= right * (1 + 1e-6)


def test_of_options_that_lose_as_little_the_fastest_round_takes_the_fastest():
    none = np.zeros((1, 2))
    costs = RoundCosts(none, none, np.array([[4e6, 1e6]]), none, none, none)
    cell = Deadline(costs, np.array([1e8]), 0.1, 1e6, 1.0, PowerLaw(0.5))
    found = solve_fastest(FastestRound(cell, 0.0))
    assert_array_equal(found.allocation.option, [1])
    assert_allclose(found.allocation.deadline, least_deadline(cell), rtol=1e-9)
    assert found.allocation.objective == 0


@pytest.mark.parametrize("bits", [4e6, 4e7])
def test_a_limit_that_no_time_suffices_for_is_called_the_loss(bits):
    none = np.zeros((1, 1))
    costs = RoundCosts(none, none, none + bits, none, none, none)
    cell = Deadline(costs, np.array([1e8]), 0.1, 1e6, 1.0, PowerLaw(0.5), noise=0.1)
    assert solve_fastest(FastestRound(cell, 0.05)).allocation.status is Status.LOSS


def test_an_infeasible_answer_has_no_grade_and_everything_to_gain(rng):
    problem = instance(rng, 3)
    problem = replace(problem, deadline=0.5 * least_deadline(problem))
    found = solve_kkt(problem)
    assert set(vars(residual(problem, found)).values()) == {np.inf}
    assert all(np.all(values == np.inf) for values in vars(multipliers(problem, found)).values())


def test_one_answer_is_graded_and_advised_at_a_time(rng):
    problem = instance(rng, 3)
    many = replace(problem, deadline=problem.deadline * np.ones(2))
    for of_one in (residual, advice):
        with pytest.raises(ValueError, match=rf"^{of_one.__name__} takes one problem, got a batch of shape \(2,\)$"):
            of_one(many, solve_kkt(many))


def test_the_cure_speaks_of_pruning_where_there_is_some(rng):
    problem = instance(rng, 3)
    problem = replace(problem, deadline=0.5 * least_deadline(problem))
    whole = replace(problem, prune_max=0.0)
    assert advice(problem, solve_kkt(problem)).endswith("(pruned to the limit)")
    assert advice(whole, solve_kkt(whole)).endswith(f"{float(least_deadline(whole)):.4g} s")


@pytest.mark.parametrize("solve", [lambda p: solve_fastest(FastestRound(p, 0.0)).allocation,
                                   lambda p: BASELINES["no-pruning"](replace(p, deadline=1e3), np.random.default_rng(0))])
def test_an_option_that_is_left_out_stays_so_where_nothing_is_pruned(rng, solve):
    problem = replace(instance(rng, 3, 2), noise=0.0)
    found = solve(problem.only(np.array([True, False]) & np.ones((3, 2), bool)))
    assert found.status is Status.OPTIMAL
    assert_array_equal(found.option, 0)
    assert_array_equal(found.ratio, 0)


def test_an_option_that_is_left_out_is_not_what_the_shortest_deadline_is_kept_by(rng):
    problem = instance(rng, 3, 2)
    first = problem.only(np.array([True, False]) & np.ones((3, 2), bool))
    assert_allclose(least_deadline(first), least_deadline(problem.of(np.zeros(3, int))), rtol=1e-9)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"prune_min": 0.8, "prune_max": 0.5}, r"prune_min must be prune_max at most \[1\], got 0.8 and 0.5"),
    ({"gain": np.ones(2)}, r"gain, peak_power and energy_budget must be \(..., K\)"),
    ({"gain": np.ones((0, 3))}, r"one of everything at least, got \(0, 3, 1\)")])
def test_what_is_no_problem_is_refused(rng, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(instance(rng, 3), **change)


@pytest.mark.parametrize(("shares", "sentence"), [
    ([0.5, 0.5, 0.5], "add up to 1 at most"), ([np.nan, 0.5, 0.5], r"shares must be within \[0, 1\]"), (-0.1, "shares must be")])
def test_shares_are_of_one_band(rng, shares, sentence):
    with pytest.raises(ValueError, match=sentence):
        solve_shares(instance(rng, 3), shares)


@pytest.mark.parametrize(("how", "sentence"), [
    ({"worth": np.nan}, r"worth must be within \[0, inf\] \[s\]"), ({"worth": -1.0}, "worth must be"),
    ({"worth": np.ones(3)}, "one number for all rows"), ({"exponent": np.nan}, "exponent must be"),
    ({"exponent": -1}, "exponent must be")])
def test_the_worth_of_progress_is_a_time(rng, how, sentence):
    with pytest.raises(ValueError, match=sentence):
        time_to_accuracy(instance(rng, 3), **how)


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: PiecewiseLinear([0.0], [[[0.0]]]), "two at least"),
    (lambda: PiecewiseLinear([0, 1.0], [[[0, np.inf]]]), "finite heights"),
    (lambda: PowerLaw(0.1, 1e300), "1e\\+06 at most")])
def test_a_pruning_cost_is_one(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
