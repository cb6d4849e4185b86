import dataclasses
import itertools
from dataclasses import replace

import numpy as np
import pytest
from instances import at_slack, instance
from numpy.testing import assert_allclose

from channels.rates import rate
from optim.band import least_band
from optim.costs import RoundCosts, latency
from optim.deadline import residual, solve_kkt
from optim.deadline_cvxpy import solve_cvxpy
from optim.problem import Deadline
from optim.pruning_cost import PowerLaw

KINDS = ("linear", "power", "polygon")


@pytest.mark.parametrize("number", range(20))
def test_the_certificate_holds_in_fades_where_conic_solvers_give_up(rng, number):
    """A weakest link of -60 dB over the whole band: Clarabel stalls or misses the deadline, the dual bound still meets."""
    problem = instance(rng, int(rng.integers(2, 40)), kind=KINDS[number % 3], weakest_db=-60.0)
    found = solve_kkt(problem)
    grade = residual(problem, found)
    assert max(grade.feasibility, grade.stationarity, grade.complementarity, grade.gap) < 1e-8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("devices", "options"), [(1, 1), (4, 3), (30, 4), (200, 3)])
def test_every_answer_meets_the_optimality_conditions(rng, kind, devices, options):
    problem = instance(rng, devices, options, kind=kind)
    grade = residual(problem, found := solve_kkt(problem))
    assert max(grade.feasibility, grade.stationarity) < 1e-8
    assert grade.complementarity < 1e-8
    assert grade.gap >= float(found.gap) - 1e-9                   # the grade does not branch
    assert latency(problem.costs.of(found.option), 1 - found.ratio[:, None], rate(
        found.bandwidth, found.power * problem.gain)[:, None]).max() <= problem.deadline * (1 + 1e-9)


@pytest.mark.parametrize("solve", [solve_kkt, solve_cvxpy])
def test_a_worse_answer_gets_a_worse_grade(rng, solve):
    problem = instance(rng, 5, slack=0.2)
    found = solve(problem)
    assert residual(problem, found).gap < 1e-5
    worse = replace(found, ratio=found.ratio + 0.02)
    assert residual(problem, worse).gap > 0.01
    late = replace(found, latency=found.latency * 1.01)
    assert residual(problem, late).feasibility == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("number", range(60))
def test_the_certificate_holds_against_all_choices_of_splits(rng, number):
    devices, options = int(rng.integers(1, 5)), int(rng.integers(2, 4))
    problem = instance(rng, devices, options, kind=KINDS[number % 3])
    found = solve_kkt(problem)
    choices = np.array(list(itertools.product(range(options), repeat=devices)))
    every = solve_kkt(problem.of(choices))                        # a batch: one row a choice
    assert 0 <= found.gap < 1.0001e-4
    assert every.objective.min() >= found.lower_bound * (1 - 1e-9)
    assert found.objective >= every.objective.min() * (1 - 1e-9)


def test_a_loose_deadline_prunes_nothing_and_spreads_the_band(rng):
    problem = instance(rng, 5, slack=500.0)
    found = solve_kkt(problem)
    assert found.price == 0
    assert np.all(found.ratio == 0)
    assert_allclose(found.bandwidth.sum(), problem.band, rtol=1e-9)
    assert np.all(found.power < problem.peak_power)


@pytest.mark.parametrize(("field", "value", "sentence"), [
    ("band", -1.0, r"band must be positive and finite \[Hz\]"), ("deadline", 0.0, r"deadline must be positive"),
    ("gain", np.array([-1.0, 1.0]), r"gain must be within \[0, inf\) \[Hz/W\]"),
    ("prune_max", np.array(1.0), r"prune_max must be within \[0, 1\)"), ("peak_power", np.array(np.nan), "peak_power must be")])
def test_a_bad_problem_is_named(rng, field, value, sentence):
    problem = instance(rng, 2)
    with pytest.raises(ValueError, match=sentence):
        Deadline(**{**{f.name: getattr(problem, f.name) for f in dataclasses.fields(problem)}, field: value})


def test_cvxpy_says_what_it_cannot_state(rng):
    problem = instance(rng, 2)
    with pytest.raises(ValueError, match="not DCP"):
        solve_cvxpy(replace(problem, energy_budget=np.ones(2)))
    with pytest.raises(ValueError, match="too many to enumerate"):
        solve_cvxpy(instance(rng, 8, 3))


def test_a_device_with_nothing_to_send_needs_no_band_and_prunes_only_to_be_in_time(rng):
    """Its demand jumps from none to all at the ratio where it is just in time; the bound must not fall into the jump."""
    zero, one = np.zeros((1, 1)), np.ones((1, 1))
    costs = RoundCosts(zero, 0.3 * one, zero, zero, zero, zero)
    problem = Deadline(costs, np.array([9e3]), np.array([1.0]), 1e6, 0.1, PowerLaw(0.3 * one, 2.0))
    found = solve_kkt(problem)
    assert_allclose(found.ratio, 2 / 3, rtol=1e-9)                     # 0.3 s kept at 0.1 s
    assert_allclose([found.objective, found.lower_bound], 0.3 * (2 / 3) ** 2, rtol=1e-9)


@pytest.mark.parametrize("devices", [20, 60])
def test_equal_devices_are_torn_together_and_still_certified(rng, devices):
    """All stand between two options at one price: some get the dearer one, as many as fit."""
    for _ in range(4):
        one = instance(rng, 1, 3, spread_db=40.0)
        same = Deadline(RoundCosts(*(np.repeat(v, devices, 0) for v in vars(one.costs).values())), np.repeat(one.gain, devices),
                        np.repeat(one.peak_power, devices), one.band * devices, 1.0,
                        PowerLaw(np.repeat(one.pruning.scale, devices, 0) / devices, np.repeat(one.pruning.exponent, devices, 0)),
                        noise=np.repeat(one.noise, devices, 0) / devices)
        assert 0 <= solve_kkt(at_slack(same, 10 ** rng.uniform(-2, 0.3))).gap < 0.5 / devices


def test_rows_without_an_answer_do_not_keep_the_others_waiting(rng):
    problem = instance(rng, 6, slack=0.5)
    gains = problem.gain * rng.uniform(0.9, 1.1, (50, 6))
    gains[::10] = problem.gain * 1e-9
    found = solve_kkt(replace(problem, gain=gains))
    assert sum(status.feasible for status in found.status) == 45
    assert found.steps < 30


def test_a_whole_number_of_equal_devices_that_just_fits_need_not_fit():
    """Twenty devices at a dear or a cheap option; the band holds two dear ones to the last bit, and rounding may cost one."""
    none = np.zeros((20, 2))
    table = RoundCosts(none, none, none + np.array([2e6, 1e6]), none, none, none)
    same = Deadline(table, gain=np.full(20, 1e9), peak_power=0.1, band=1.0, deadline=1.0, pruning=PowerLaw(1.0),
                    noise=np.tile([0.0, 0.05], (20, 1)), prune_max=0.0)
    needs = least_band(same, np.zeros(same.shape))[0]
    tight = replace(same, band=2 * needs[0] + 18 * needs[1])
    assert solve_kkt(tight, branches=0).objective <= 0.95 * (1 + 1e-9)


def test_an_ample_band_costs_nothing_whatever_the_price_before(rng):
    problem = instance(rng, 20)
    found = solve_kkt(replace(problem, deadline=1e3 * problem.deadline), price=solve_kkt(problem).price)
    assert found.price == 0
    assert np.all(found.ratio == 0)
