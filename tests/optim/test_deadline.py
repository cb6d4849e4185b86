import dataclasses
import itertools
from dataclasses import replace

import numpy as np
import pytest
from instances import at_slack, instance
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from channels.rates import rate
from optim.allocation import Status
from optim.costs import RoundCosts, latency, uplink_load
from optim.deadline import residual, solve_kkt
from optim.deadline_cvxpy import solve_cvxpy
from optim.problem import Deadline
from optim.pruning_cost import PowerLaw

KINDS = ("linear", "power", "polygon")


@pytest.mark.parametrize("number", range(150))
def test_kkt_agrees_with_cvxpy(rng, number):
    """Deep fades and strong links (100 dB), deadlines from 1 % to 200 % above the shortest, 1 to 100 devices."""
    devices = int(rng.choice([1, 2, 3, 5, 10, 20, 40, 100], p=[0.15, 0.15, 0.15, 0.15, 0.15, 0.1, 0.1, 0.05]))
    problem = instance(rng, devices, kind=KINDS[number % 3])
    kkt, cvx = solve_kkt(problem), solve_cvxpy(problem)
    assert kkt.status is Status.OPTIMAL
    assert_allclose(kkt.objective, cvx.objective, rtol=1e-6, atol=1e-9)
    assert_allclose(kkt.lower_bound, kkt.objective, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("number", range(50))
def test_kkt_agrees_with_cvxpy_under_energy_budgets(rng, number):
    """Where cvxpy can state the budget: computation that pruning does not shorten, or ratios that are given."""
    devices = int(rng.choice([1, 2, 5, 10, 20]))
    problem = instance(rng, devices, kind=KINDS[number % 3], weakest_db=-10.0, spread_db=60.0)
    if number % 2:
        problem = replace(problem, costs=replace(problem.costs, kept_time=np.zeros((devices, 1))))
    else:
        pinned = rng.uniform(0.2, 0.6, (devices, 1))
        problem = replace(problem, prune_min=pinned, prune_max=pinned)
    tight = at_slack(replace(problem, energy_budget=budget(problem, rng.uniform(1.05, 3.0, devices))), 10 ** rng.uniform(-2, 0.3))
    kkt, cvx = solve_kkt(tight), solve_cvxpy(tight)
    assert kkt.status is Status.OPTIMAL
    assert np.all(kkt.energy <= tight.energy_budget * (1 + 1e-9))
    assert_allclose(kkt.objective, cvx.objective, rtol=1e-6, atol=1e-9)


def budget(problem, factor):
    """``factor`` times what each device needs if it is pruned to the limit, with time and band without end [J]."""
    keep = 1 - problem.prune_max
    needs = problem.costs.fixed_energy + keep * problem.costs.kept_energy
    return factor * (needs + uplink_load(problem.costs, keep) * np.log(2) / problem.gain[:, None])[:, 0]


@pytest.mark.parametrize("number", range(20))
def test_the_certificate_holds_in_fades_where_conic_solvers_give_up(rng, number):
    """A weakest link of -60 dB over the whole band: Clarabel stalls or misses the deadline, the dual bound still meets."""
    problem = instance(rng, int(rng.integers(2, 40)), kind=KINDS[number % 3], weakest_db=-60.0)
    found = solve_kkt(problem)
    grade = residual(problem, found)
    assert max(grade.feasibility, grade.stationarity, grade.complementarity, grade.gap) < 1e-8


@pytest.mark.parametrize("devices", [1, 3])
def test_kkt_agrees_with_a_general_method_where_pruning_shortens_a_budgeted_round(rng, devices):
    problem = instance(rng, devices, weakest_db=0.0, spread_db=30.0)
    problem = at_slack(replace(problem, energy_budget=budget(problem, rng.uniform(1.1, 1.5, devices))), 0.3)
    found = solve_kkt(problem)
    costs, gain = problem.costs, problem.gain

    def spent(v):
        ratio, band = v[:devices], np.maximum(v[devices:], 1e-3) * problem.band
        keep = 1 - ratio
        time = problem.deadline - costs.fixed_time[:, 0] - keep * costs.kept_time[:, 0]
        load = costs.fixed_bits[:, 0] + keep * costs.kept_bits[:, 0]
        power = band / gain * (2 ** (load / time / band) - 1)
        energy = costs.fixed_energy[:, 0] + keep * costs.kept_energy[:, 0] + power * time
        return np.concatenate([1 - power / problem.peak_power, 1 - energy / problem.energy_budget, [1 - v[devices:].sum()]])

    start = np.concatenate([np.full(devices, 0.9), np.full(devices, 1 / devices)])
    best = minimize(lambda v: 1e2 * problem.pruning.value(v[:devices, None]).sum(), start, method="SLSQP",
                    bounds=[(0, 0.9)] * devices + [(1e-3, 1)] * devices, constraints={"type": "ineq", "fun": spent},
                    options={"ftol": 1e-14, "maxiter": 500})
    assert spent(np.concatenate([found.ratio, found.bandwidth / problem.band])).min() > -1e-9
    assert_allclose(found.objective - problem.noise.sum(), best.fun / 1e2, rtol=1e-5, atol=1e-8)


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("devices", [20, 60, 200])
def test_the_certified_gap_is_below_one_percent_for_many_devices(rng, kind, devices):
    gaps = [float(solve_kkt(instance(rng, devices, 4, kind=kind, spread_db=db)).gap) for db in (0, 20, 40, 60, 80, 100)]
    assert min(gaps) >= 0
    assert max(gaps) < 0.01


def test_the_price_is_the_slope_of_the_objective_in_the_band(rng):
    problem = instance(rng, 6, slack=0.2)
    step = 1e-4 * problem.band
    up, down = (solve_kkt(replace(problem, band=problem.band + d)).objective for d in (step, -step))
    assert_allclose(solve_kkt(problem).price, (down - up) / (2 * step), rtol=1e-4)


@pytest.mark.parametrize("change", [
    lambda p: replace(p, band=1.1 * p.band), lambda p: replace(p, deadline=1.1 * p.deadline),
    lambda p: replace(p, gain=1.5 * p.gain), lambda p: replace(p, peak_power=1.5 * p.peak_power),
    lambda p: replace(p, prune_max=np.array(0.95))])
def test_more_of_anything_never_hurts(rng, change):
    for _ in range(5):
        problem = instance(rng, 8, 3)
        assert solve_kkt(change(problem)).lower_bound <= solve_kkt(problem).objective * (1 + 1e-9)


def test_permuted_devices_get_permuted_answers(rng):
    problem, order = instance(rng, 7, slack=0.3), rng.permutation(7)
    costs = type(problem.costs)(*(v[order] for v in vars(problem.costs).values()))
    pruning = type(problem.pruning)(problem.pruning.scale[order], problem.pruning.exponent[order])
    moved = replace(problem, costs=costs, pruning=pruning, gain=problem.gain[order], peak_power=problem.peak_power[order],
                    noise=problem.noise[order])
    assert_allclose(solve_kkt(moved).bandwidth, solve_kkt(problem).bandwidth[order], rtol=1e-8)


def test_a_batch_is_its_rows_one_by_one(rng):
    problem = instance(rng, 6, 3, slack=0.5)
    gains = problem.gain * rng.exponential(size=(5, 6))
    deadlines = problem.deadline * np.array([1.0, 2.0, 0.01, 4.0, 8.0])
    batch = solve_kkt(replace(problem, gain=gains, deadline=deadlines))
    for row in range(5):
        alone = solve_kkt(replace(problem, gain=gains[row], deadline=deadlines[row]), branches=0)
        assert batch.status[row] is alone.status
        assert_allclose(batch.objective[row], alone.objective, rtol=1e-9)
        assert_allclose(batch.row(row).bandwidth, alone.bandwidth, rtol=1e-6)


def test_a_loose_deadline_prunes_nothing_and_spreads_the_band(rng):
    problem = instance(rng, 5, slack=500.0)
    found = solve_kkt(problem)
    assert found.price == 0
    assert np.all(found.ratio == 0)
    assert_allclose(found.bandwidth.sum(), problem.band, rtol=1e-9)
    assert np.all(found.power < problem.peak_power)


def test_scaling_the_units_scales_the_answer(rng):
    """kHz for Hz and ms for s, mW for W: the same decision in other numbers."""
    problem = instance(rng, 5, 2, slack=0.3)
    c = problem.costs
    scaled = replace(problem, costs=type(c)(1e3 * c.fixed_time, 1e3 * c.kept_time, c.fixed_bits, c.kept_bits, c.fixed_energy,
                                            c.kept_energy), gain=problem.gain / 1e6, peak_power=1e3 * problem.peak_power,
                     band=problem.band / 1e3, deadline=1e3 * problem.deadline)
    one, other = solve_kkt(problem), solve_kkt(scaled)
    assert_allclose(other.bandwidth * 1e3, one.bandwidth, rtol=1e-8)
    assert_allclose(other.power / 1e3, one.power, rtol=1e-8)


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
