from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from channels.rates import rate
from optim.deadline import solve_kkt
from optim.personalised import Personalised, marginal, ratios, solve_personalised


def instance(rng, devices, slack=None, weakest_db=-20.0, spread_db=60.0):
    """A threshold at which ``slack`` of the way from the most pruning to none is left."""
    reach = 5e6 * 10 ** rng.uniform(weakest_db / 10, (weakest_db + spread_db) / 10, devices)
    problem = Personalised(rng.uniform(0.01, 0.1, devices), rng.uniform(0.01, 0.3, devices), rng.uniform(1e5, 2e6, devices),
                           reach, rng.uniform(0.3, 1.0, devices) / devices, 5e6, 1.0)
    share = rng.uniform(0.1, 0.9) if slack is None else slack
    even = rate(5e6 / devices, reach)
    full = problem.personal_time + problem.shared_time + problem.shared_bits / even
    pruned = problem.personal_time + 0.1 * (problem.shared_time + problem.shared_bits / even)
    return replace(problem, threshold=np.max(pruned) + share * np.maximum(np.max(full) - np.max(pruned), 0.0))


@pytest.mark.parametrize("number", range(60))
def test_its_own_conditions_agree_with_the_general_problem(rng, number):
    problem = instance(rng, int(rng.choice([1, 2, 5, 10, 30])))
    own, general = solve_personalised(problem), solve_kkt(problem.as_deadline())
    assert_allclose(own.objective, general.objective, rtol=1e-8, atol=1e-13)
    assert_allclose(own.ratio, general.ratio, atol=1e-7)
    assert_allclose(own.lower_bound, own.objective, rtol=1e-9, atol=1e-13)
    if general.price > 0:
        assert_allclose(own.price, general.price, rtol=1e-6)
        assert_allclose(own.bandwidth, general.bandwidth, rtol=1e-6)


@pytest.mark.parametrize("number", range(20))
def test_it_agrees_with_cvxpy(rng, number):
    """In the share kept: x t^g + x Q / R <= S is x <= S R / (t^g R + Q), concave in the rate."""
    problem = instance(rng, int(rng.choice([2, 5, 10])), weakest_db=-10.0, spread_db=30.0)
    devices = len(problem.reach)
    b, x = cp.Variable(devices, nonneg=True), cp.Variable(devices)
    s, time = problem.reach / problem.band, problem.threshold - problem.personal_time
    bits = problem.shared_bits / problem.band
    speed = -cp.rel_entr(b, b + s) / np.log(2)
    needed = cp.multiply(bits * time / problem.shared_time, cp.inv_pos(time - cp.multiply(problem.shared_time, x))) \
        - bits / problem.shared_time
    model = cp.Problem(cp.Minimize(problem.weights @ (1 - x)), [cp.sum(b) <= 1, x <= 1, x >= 0.1, speed >= needed])
    model.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    assert_allclose(solve_personalised(problem).objective, model.value, rtol=1e-6, atol=1e-8)


def test_who_is_neither_unpruned_nor_at_the_limit_meets_the_stationarity_condition(rng):
    problem = instance(rng, 8, weakest_db=0.0, spread_db=20.0)
    found = solve_personalised(problem)
    free, step = (found.ratio > 1e-6) & (found.ratio < 0.9 - 1e-6), 1e-4
    speed = rate(found.bandwidth, problem.reach)
    slope = (rate(found.bandwidth * (1 + step), problem.reach) - rate(found.bandwidth * (1 - step), problem.reach)) / (
        2 * step * found.bandwidth)
    left = problem.weights * (problem.threshold - problem.personal_time) * problem.shared_bits * slope / (
        problem.shared_time * speed + problem.shared_bits) ** 2
    assert free.sum() > 1
    assert_allclose(left[free], found.price, rtol=1e-6)
    assert_allclose(marginal(problem, found.bandwidth), left, rtol=1e-6)


def test_the_given_ratio_ends_the_round_at_the_threshold(rng):
    problem = instance(rng, 6)
    found = solve_personalised(problem)
    pruned = (found.ratio > 1e-9) & (found.ratio < 0.9 - 1e-9)
    assert np.all(found.latency <= problem.threshold * (1 + 1e-9))
    assert_allclose(found.latency[pruned], problem.threshold)
    assert_allclose(ratios(problem, found.bandwidth)[pruned], found.ratio[pruned])


def test_the_price_is_the_slope_of_the_objective_in_the_band(rng):
    problem = instance(rng, 6, slack=0.3)
    step = 1e-4 * problem.band
    up, down = (solve_personalised(replace(problem, band=problem.band + d)).objective for d in (step, -step))
    assert_allclose(solve_personalised(problem).price, (down - up) / (2 * step), rtol=1e-4)


def test_a_loose_threshold_prunes_nothing_and_a_short_one_has_no_answer(rng):
    problem = instance(rng, 5)
    loose, short = (solve_personalised(replace(problem, threshold=t)) for t in (1e4, 1e-3))
    assert loose.price == 0
    assert_allclose(loose.ratio, 0.0, atol=1e-15)
    assert not short.feasible
    assert short.objective == np.inf
    assert np.all(short.bandwidth == 0)


def test_a_batch_is_its_rows_one_by_one(rng):
    problem = instance(rng, 5)
    reach, threshold = problem.reach * rng.exponential(size=(4, 5)), problem.threshold * np.array([1.0, 2.0, 0.01, 1.5])
    batch = solve_personalised(replace(problem, reach=reach, threshold=threshold))
    for row in range(4):
        alone = solve_personalised(replace(problem, reach=reach[row], threshold=threshold[row]))
        assert batch.feasible[row] == alone.feasible
        assert_allclose(batch.objective[row], alone.objective, rtol=1e-9)
        assert_allclose(batch.bandwidth[row], alone.bandwidth, rtol=1e-7)


def test_tensors_get_the_answer_that_arrays_get(rng):
    torch = pytest.importorskip("torch")
    problem = instance(rng, 5)
    tensors = Personalised(**{name: torch.as_tensor(value) for name, value in vars(problem).items()})
    found = solve_personalised(tensors)
    assert isinstance(found.bandwidth, torch.Tensor)
    assert_allclose(found.bandwidth.numpy(), solve_personalised(problem).bandwidth, rtol=1e-9)


@pytest.mark.parametrize(("field", "value", "sentence"), [
    ("shared_bits", 0.0, "shared_bits must be"), ("threshold", -1.0, "threshold must be"),
    ("prune_max", 1.0, "prune_max must be")])
def test_a_bad_problem_is_named(rng, field, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(instance(rng, 2), **{field: value})
