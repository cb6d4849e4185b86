import itertools
from dataclasses import replace

import numpy as np
import pytest
from instances import at_slack, instance
from numpy.testing import assert_allclose

from channels.rates import rate
from optim.allocation import Status
from optim.costs import latency, uplink_load
from optim.deadline import solve_kkt
from optim.energy_response import nats_for, psi
from optim.least_energy import LeastEnergy, residual, solve_energy
from optim.least_energy_reference import energy_cvxpy, energy_slsqp

KINDS = ("linear", "power", "polygon")


def draw(rng, devices, options=1, *, tightness=None, kind="power", **how):
    """A loss limit between the deadline problem's optimum (tightness 0) and the loss that saves most energy (1)."""
    deadline = instance(rng, devices, options, kind=kind, **{"weakest_db": -10.0, "spread_db": 60.0, **how})
    return limited(deadline, rng.uniform(0.05, 0.95) if tightness is None else tightness)


def limited(deadline, tightness):
    least, most = solve_kkt(deadline).objective, solve_energy(LeastEnergy(deadline, np.inf)).loss
    return LeastEnergy(deadline, least + tightness * (most - least))


def without_prunable_computation(problem):
    return replace(problem, costs=replace(problem.costs, kept_time=np.zeros_like(problem.costs.kept_time)))


def grade(problem, found):
    return max(vars(residual(problem, found)).values())


@pytest.mark.parametrize("number", range(100))
def test_prices_agree_with_a_cone_program(rng, number):
    devices = int(rng.choice([1, 2, 3, 5, 10, 20]))
    deadline = instance(rng, devices, kind=KINDS[number % 3], weakest_db=-10.0, spread_db=60.0)
    if number % 2:
        ratio = rng.uniform(0.2, 0.6, (devices, 1))
        deadline = replace(deadline, prune_min=ratio, prune_max=ratio)
    else:
        deadline = without_prunable_computation(deadline)
    deadline = at_slack(deadline, 10 ** rng.uniform(-2, 0.3))
    if number % 5 == 0:
        deadline = replace(deadline, energy_budget=solve_kkt(deadline).energy * rng.uniform(1.0, 1.2, devices))
    problem = replace(limited(deadline, rng.uniform(0.05, 0.95)), weights=10 ** rng.uniform(-0.5, 0.5, devices))
    ours, cone = solve_energy(problem), energy_cvxpy(problem)
    assert ours.allocation.status is Status.OPTIMAL
    assert_allclose(ours.allocation.objective, cone.allocation.objective, rtol=1e-6)
    assert_allclose(ours.allocation.lower_bound, ours.allocation.objective, rtol=1e-10)
    assert residual(problem, ours).feasibility < 1e-9


@pytest.mark.parametrize("number", range(40))
def test_prices_agree_with_a_general_method_where_pruning_shortens_the_round(rng, number):
    problem = draw(rng, int(rng.integers(1, 5)), weakest_db=0.0, spread_db=20.0, slack=10 ** rng.uniform(-1, 0.3))
    ours, smooth = solve_energy(problem), energy_slsqp(problem)
    assert residual(problem, smooth).feasibility < 1e-6
    assert_allclose(ours.allocation.objective, smooth.allocation.objective, rtol=1e-6)
    assert ours.allocation.objective <= smooth.allocation.objective * (1 + 1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("devices", [1, 4, 30])
@pytest.mark.parametrize("slack", [1e-3, 0.3, 50.0])
def test_every_answer_meets_the_optimality_conditions(rng, kind, devices, slack):
    problem = draw(rng, devices, kind=kind, slack=slack, weakest_db=-40.0, spread_db=100.0)
    found = solve_energy(problem)
    assert grade(problem, found) < 1e-8


@pytest.mark.parametrize("number", range(15))
def test_the_lower_bound_holds_against_all_choices_of_options(rng, number):
    devices, options = int(rng.integers(1, 4)), int(rng.integers(2, 4))
    problem = draw(rng, devices, options, kind=KINDS[number % 3])
    found = solve_energy(problem)
    choices = np.array(list(itertools.product(range(options), repeat=devices)))
    every = solve_energy(replace(problem, deadline=problem.deadline.of(choices))).allocation.objective
    assert residual(problem, found).feasibility < 1e-9
    assert found.allocation.lower_bound <= every.min() * (1 + 1e-10)
    assert every.min() * (1 - 1e-9) <= found.allocation.objective <= 1.05 * every.min()


@pytest.mark.parametrize("devices", [20, 60])
def test_the_certified_gap_is_small_for_many_devices(rng, devices):
    for kind in KINDS:
        found = solve_energy(draw(rng, devices, 4, kind=kind))
        assert 0 <= found.allocation.gap < 0.5 / devices


def test_equal_devices_are_torn_together_and_still_certified(rng):
    one, devices = instance(rng, 1, 3, weakest_db=0.0, spread_db=20.0), 20
    costs = type(one.costs)(*(np.repeat(v, devices, 0) for v in vars(one.costs).values()))
    same = replace(one, costs=costs, gain=np.repeat(one.gain, devices), peak_power=np.repeat(one.peak_power, devices),
                   band=one.band * devices, noise=np.repeat(one.noise, devices, 0),
                   pruning=one.pruning.each(lambda v: np.repeat(v, devices, 0) if np.ndim(v) else v))
    for tightness in (0.1, 0.3, 0.6):
        assert 0 <= solve_energy(limited(at_slack(same, 0.5), tightness)).allocation.gap < 0.5 / devices


@pytest.mark.parametrize("number", range(5))
def test_both_prices_are_the_slopes_of_the_energy_in_their_limits(rng, number):
    problem = draw(rng, 6)
    found, band, loss = solve_energy(problem), 1e-4 * problem.deadline.band, 1e-4 * problem.most_loss

    def energy(more_band=0.0, more_loss=0.0):
        wider = replace(problem.deadline, band=problem.deadline.band + more_band)
        return solve_energy(replace(problem, deadline=wider, most_loss=problem.most_loss + more_loss)).allocation.objective

    assert_allclose(found.allocation.price, (energy(-band) - energy(band)) / (2 * band), rtol=1e-4)
    assert_allclose(found.loss_price, (energy(0, -loss) - energy(0, loss)) / (2 * loss), rtol=1e-4)


@pytest.mark.parametrize("change", [
    lambda p: replace(p, deadline=replace(p.deadline, band=1.1 * p.deadline.band)),
    lambda p: replace(p, deadline=replace(p.deadline, deadline=1.1 * p.deadline.deadline)),
    lambda p: replace(p, deadline=replace(p.deadline, gain=1.5 * p.deadline.gain)),
    lambda p: replace(p, deadline=replace(p.deadline, peak_power=1.5 * p.deadline.peak_power)),
    lambda p: replace(p, most_loss=1.05 * p.most_loss), lambda p: replace(p, weights=np.full(8, 0.9))])
def test_more_of_anything_never_costs_energy(rng, change):
    for _ in range(3):
        problem = draw(rng, 8, 3)
        assert solve_energy(change(problem)).allocation.lower_bound <= solve_energy(problem).allocation.objective * (1 + 1e-9)


def test_without_a_limit_on_the_loss_pruning_is_at_its_most(rng):
    problem = draw(rng, 5)
    free = solve_energy(replace(problem, most_loss=np.inf))
    assert_allclose(free.allocation.ratio, 0.9)
    assert free.loss_price == 0
    assert free.allocation.objective < solve_energy(problem).allocation.objective
    assert grade(replace(problem, most_loss=np.inf), free) < 1e-8


def test_who_has_something_to_send_is_through_at_the_deadline_and_the_band_is_used_up(rng):
    problem = draw(rng, 6, slack=50.0)
    found, d = solve_energy(problem).allocation, problem.deadline
    assert np.all(found.power < d.peak_power * (1 - 1e-3))
    assert_allclose(found.latency, d.deadline)
    assert_allclose(found.bandwidth.sum(), d.band)
    hurried = latency(d.costs, 1 - found.ratio[:, None], rate(found.bandwidth, 1.01 * found.power * d.gain)[:, None])
    sent = uplink_load(d.costs, 1 - found.ratio[:, None])[:, 0]
    louder = 1.01 * found.power * sent / rate(found.bandwidth, 1.01 * found.power * d.gain)
    assert np.all(hurried < d.deadline)
    assert np.all(louder > found.power * sent / rate(found.bandwidth, found.power * d.gain))


def test_a_device_alone_without_pruning_spends_what_shannon_asks(rng):
    problem = replace(draw(rng, 1).deadline, prune_max=np.array(0.0), deadline=np.array(10.0))
    found, c = solve_energy(LeastEnergy(problem, np.inf)).allocation, problem.costs
    time, bits = 10.0 - c.fixed_time - c.kept_time, c.fixed_bits + c.kept_bits
    radiated = time * problem.band / problem.gain * (2 ** (bits / time / problem.band) - 1)
    assert_allclose(found.objective, (c.fixed_energy + c.kept_energy + radiated).item(), rtol=1e-12)


def test_a_batch_is_its_rows_one_by_one(rng):
    problem = draw(rng, 5, 3, slack=0.5)
    gains = problem.deadline.gain * rng.uniform(0.9, 1.5, (5, 5))
    until = problem.deadline.deadline * np.array([1, 2, 1e-3, 4, 8.0])
    limits = problem.most_loss * np.array([1.1, 1.2, 1.0, 0.01, 0.9])
    batch = solve_energy(LeastEnergy(replace(problem.deadline, gain=gains, deadline=until), limits))
    for row in range(5):
        alone = solve_energy(LeastEnergy(replace(problem.deadline, gain=gains[row], deadline=until[row]), limits[row]))
        assert batch.allocation.status[row] is alone.allocation.status
        assert_allclose(batch.allocation.objective[row], alone.allocation.objective, rtol=1e-9)
        assert_allclose(batch.allocation.row(row).bandwidth, alone.allocation.bandwidth, rtol=1e-5)
    assert batch.allocation.status[2] is Status.DEADLINE
    assert batch.allocation.status[3] is Status.LOSS


def test_tensors_get_the_answer_that_arrays_get(rng):
    torch = pytest.importorskip("torch")
    problem = draw(rng, 5, 2)
    tensors = LeastEnergy(problem.deadline.to(torch.as_tensor), torch.as_tensor(problem.most_loss))
    found, ours = solve_energy(tensors), solve_energy(problem)
    assert isinstance(found.allocation.bandwidth, torch.Tensor)
    assert_allclose(found.allocation.objective.numpy(), ours.allocation.objective, rtol=1e-9)
    assert_allclose(found.allocation.bandwidth.numpy(), ours.allocation.bandwidth, rtol=1e-5)


@pytest.mark.parametrize(("change", "status"), [
    ({"deadline": 1e-3}, Status.DEADLINE), ({"gain": np.zeros(3)}, Status.LINK),
    ({"energy_budget": np.full(3, 1e-9)}, Status.ENERGY),
    ({"band": 1e-3}, Status.BAND), ({}, Status.LOSS)])
def test_infeasible_is_an_answer_without_nan(rng, change, status):
    deadline = instance(rng, 3, 2, weakest_db=20.0, spread_db=20.0, slack=0.3)
    limit = np.inf if change else 0.9 * solve_kkt(deadline).lower_bound
    found = solve_energy(LeastEnergy(replace(deadline, **change), limit))
    assert found.allocation.status is status
    assert found.allocation.objective == found.loss == np.inf
    assert found.allocation.price == found.loss_price == 0
    for values in (found.allocation.ratio, found.allocation.bandwidth, found.allocation.power, found.allocation.energy):
        assert np.all(values == 0)


def test_who_has_nothing_to_send_needs_no_band(rng):
    deadline = instance(rng, 2, slack=1.0)
    nothing = np.zeros((2, 1))
    silent = replace(deadline, gain=np.zeros(2), costs=replace(deadline.costs, fixed_bits=nothing, kept_bits=nothing))
    found = solve_energy(LeastEnergy(silent, np.inf)).allocation
    assert found.status is Status.OPTIMAL
    assert_allclose(found.objective, (deadline.costs.fixed_energy + 0.1 * deadline.costs.kept_energy).sum())
    assert found.price == 0


def test_the_nats_of_a_symbol_invert_psi_over_all_magnitudes():
    w = np.geomspace(1e-140, 600, 2000)
    assert_allclose(nats_for(psi(w)), w, rtol=1e-13)
    assert_allclose(psi(w[w > 1]), 1 - np.exp(w[w > 1]) + w[w > 1] * np.exp(w[w > 1]), rtol=1e-13)
    assert_allclose(psi(np.array([0.3 * (1 - 1e-13)])), psi(np.array([0.3])), rtol=1e-12)


@pytest.mark.parametrize(("field", "value", "sentence"), [
    ("most_loss", -1.0, r"most_loss must be within \[0, inf\] \[1\]"),
    ("weights", np.array([1.0, 0.0]), "weights must be within")])
def test_a_bad_problem_is_named(rng, field, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        LeastEnergy(**{"deadline": instance(rng, 2), "most_loss": 1.0, field: value})
