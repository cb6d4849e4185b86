import itertools
from dataclasses import fields, replace

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from optim.allocation import Status
from optim.epsl import EpslProblem, Stages, latency
from optim.epsl_amounts import epsl_problem
from optim.epsl_answer import epsl_residual
from optim.epsl_descent import floor, greedy, solve_descent
from optim.epsl_exact import solve_exact
from optim.epsl_master import Master, Point
from optim.epsl_power import best_power

WIDTH = 1e6
AMOUNTS = {"batch": 10, "aggregated": 0.5, "forward_flops": [1e6, 2e6], "backward_flops": [2e6, 4e6],
           "server_forward_flops": [3e6, 2e6], "server_backward_flops": [6e6, 4e6], "last_layer_flops": 1e6,
           "smashed_bits": [1e5, 5e4], "gradient_bits": [2e5, 1e5], "clock": [1e9, 2e9], "server_clock": 1e10,
           "cycles_per_flop": 0.5, "server_cycles_per_flop": 0.25, "width": WIDTH, "peak_power": 1.0, "total_power": 1.5,
           "downlink_density": 1e-6}


def instance(rng, devices, bands, cuts=3, *, rows=(), weakest_db=-10.0, strongest_db=30.0):
    """Random links, stages of about a second; later cuts mean less traffic and more work for the devices."""
    late, shape = np.linspace(0, 1, cuts), (*rows, devices, 1)
    return EpslProblem(
        device_forward=0.3 * late * rng.uniform(0.5, 1.5, shape), device_backward=0.6 * late * rng.uniform(0.5, 1.5, shape),
        server=1.0 - 0.8 * late, uplink_bits=WIDTH * 4.0 ** (1 - 2 * late), unicast_bits=WIDTH * 3.0 ** (1 - 2 * late),
        broadcast_bits=WIDTH * 2.0 ** (1 - 2 * late), gain=WIDTH * 10 ** (rng.uniform(
            weakest_db, strongest_db, (*rows, devices, bands)) / 10), width=WIDTH,
        peak_power=rng.uniform(0.5, 1.5, (*rows, devices)), total_power=0.6 * devices, downlink_density=3.0 / WIDTH)


def every_assignment(problem):
    devices, bands, cuts = problem.sizes
    every = np.array(list(itertools.product(range(devices), repeat=bands)))
    return np.repeat(every, cuts, axis=0), np.tile(np.arange(cuts), len(every))


def by_enumeration(problem):
    """The least latency of all assignments and cuts, each with its exact power."""
    assignment, cut = every_assignment(problem)
    return latency(problem, cut, assignment, best_power(problem, cut, assignment)).total.min()


def row(problem, index):
    return EpslProblem(**{f.name: getattr(problem, f.name)[index] for f in fields(problem)})


def as_torch(problem):
    return EpslProblem(**{f.name: torch.asarray(np.array(getattr(problem, f.name))) for f in fields(problem)})


def test_the_clock_is_counted_by_hand():
    """SNRs of 1, 3 and 7 carry one, two and three bits a second and hertz."""
    problem = EpslProblem(
        device_forward=np.array([[0.5], [1.0]]), device_backward=np.array([[0.25], [0.125]]), server=np.array([2.0]),
        uplink_bits=np.array([6e6]), unicast_bits=np.array([4e6]), broadcast_bits=np.array([3e6]),
        gain=WIDTH * np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 7.0 / 3.0]]), width=WIDTH, peak_power=np.array([2.0, 2.0]),
        total_power=3.0, downlink_density=3.0 / WIDTH)
    found = latency(problem, 0, np.array([0, 0, 1]), np.array([1.0, 3.0, 3.0]))
    assert_allclose(found.uplink, max(0.5 + 6 / (1 + 2), 1.0 + 6 / 3))
    assert_allclose(found.server, 2.0)
    assert_allclose(found.broadcast, 3 / min(2 + 2, 2 + 3))
    assert_allclose(found.downlink, max(4 / (2 + 2) + 0.25, 4 / 3 + 0.125))
    assert_allclose(found.total, 3.0 + 2.0 + 0.75 + 4 / 3 + 0.125)


def test_a_device_without_a_subchannel_never_ends():
    problem = instance(np.random.default_rng(0), 2, 3)
    found = latency(problem, 1, np.array([0, 0, -1]), np.ones(3))
    assert np.isinf(found.uplink)
    assert np.isinf(found.total)


def test_the_amounts_are_counted_by_hand():
    """Ten samples, five aggregated: the server takes 5 + 2 * 5 of them back, but all 20 through the last layer."""
    p = epsl_problem(np.ones((2, 3)), **AMOUNTS)
    assert_allclose(p.device_forward, [[10 * 1e6 * 0.5 / 1e9, 10 * 2e6 * 0.5 / 1e9],
                                       [10 * 1e6 * 0.5 / 2e9, 10 * 2e6 * 0.5 / 2e9]])
    assert_allclose(p.device_backward, 2 * p.device_forward)
    assert_allclose(p.server[0], (20 * 3e6 + 15 * (6e6 - 1e6) + 20 * 1e6) * 0.25 / 1e10)
    assert_allclose(p.uplink_bits, [1e6, 5e5])
    assert_allclose(p.unicast_bits, [5 * 2e5, 5 * 1e5])
    assert_allclose(p.broadcast_bits, [5 * 2e5, 5 * 1e5])


def test_nothing_aggregated_is_parallel_split_learning():
    p = epsl_problem(np.ones((2, 3)), **{**AMOUNTS, "aggregated": 0.0})
    assert_array_equal(p.broadcast, 0)
    assert_allclose(p.unicast_bits, [10 * 2e5, 10 * 1e5])
    assert_allclose(p.server, 20 * np.array([3e6 + 6e6, 2e6 + 4e6]) * 0.25 / 1e10)


def test_all_aggregated_leaves_nothing_to_send_to_one_device_alone():
    p = epsl_problem(np.ones((2, 3)), **{**AMOUNTS, "aggregated": 1.0})
    assert_array_equal(p.unicast_bits, 0)
    assert_allclose(latency(p, 0, np.array([0, 1, 1]), np.full(3, 0.1)).downlink, p.device_backward[:, 0].max())


def test_aggregated_samples_are_counted_without_the_rounding_of_the_share():
    p = epsl_problem(np.ones((2, 3)), **{**AMOUNTS, "batch": 100, "aggregated": 0.07})      # 0.07 * 100 is 7.000000000000001
    assert_allclose(p.broadcast_bits, 7 * np.array([2e5, 1e5]))


@pytest.mark.parametrize("number", range(20))
def test_the_power_step_agrees_with_cvxpy(rng, number):
    devices, bands = int(rng.integers(1, 6)), int(rng.integers(6, 12))
    problem = instance(rng, devices, bands, weakest_db=-5)
    problem = replace(problem, total_power=problem.peak_power.sum() * rng.choice([0.3, 0.7, 1.5]))
    assignment = rng.permutation(np.arange(bands) % devices)
    cut = int(rng.integers(3))
    q, time = cp.Variable(bands, nonneg=True), cp.Variable()
    rules = [cp.sum(q) <= problem.total_power]
    for i in range(devices):
        own = np.flatnonzero(assignment == i)
        bits = cp.sum(cp.log1p(cp.multiply(problem.gain[i, own] / WIDTH, q[own]))) * WIDTH / np.log(2)
        rules += [cp.sum(q[own]) <= problem.peak_power[i],
                  bits / problem.uplink_bits[cut] >= cp.inv_pos(time - problem.device_forward[i, cut])]
    cp.Problem(cp.Minimize(time), rules).solve(solver=cp.CLARABEL)
    power = best_power(problem, np.array(cut), assignment)
    assert_allclose(latency(problem, cut, assignment, power).uplink, time.value, rtol=1e-6)


@pytest.mark.parametrize("number", range(20))
def test_the_best_power_exhausts_a_limit_in_every_fade(rng, number):
    """From -60 to 100 dB: the last device is at its peak or the total is spent, and no limit is passed."""
    problem = instance(rng, 4, 9, weakest_db=-60, strongest_db=100)
    problem = replace(problem, total_power=problem.peak_power.sum() * rng.choice([0.1, 0.7, 1.5]))
    assignment = rng.permutation(np.arange(9) % 4)
    power = best_power(problem, np.array(0), assignment)
    spent = np.array([power[assignment == i].sum() for i in range(4)])
    assert np.all(spent <= problem.peak_power * (1 + 1e-12))
    assert power.sum() <= problem.total_power * (1 + 1e-12)
    assert max(np.max(spent / problem.peak_power), power.sum() / problem.total_power) == pytest.approx(1, rel=1e-9)


def test_nobody_is_through_before_the_last_device(rng):
    """Power that would end one device early is better spent on another."""
    problem = instance(rng, 3, 6)
    assignment, cut = np.arange(6) % 3, np.array(0)
    power = best_power(problem, cut, assignment)
    one = [replace(problem, gain=problem.gain[[i]], peak_power=problem.peak_power[[i]],
                   device_forward=problem.device_forward[[i]], device_backward=problem.device_backward[[i]]) for i in range(3)]
    ends = [latency(p, cut, np.where(assignment == i, 0, -1), power).uplink for i, p in enumerate(one)]
    assert_allclose(ends, max(ends), rtol=1e-9)


@pytest.mark.parametrize("number", range(5))
def test_a_batch_is_its_rows_and_torch_is_numpy(rng, number):
    problem = instance(rng, 4, 7, rows=(2, 3), weakest_db=-30, strongest_db=60)
    batch, tensors = solve_descent(problem), solve_descent(as_torch(problem))
    assert isinstance(tensors.power, torch.Tensor)
    assert_allclose(tensors.latency.numpy(), batch.latency, rtol=1e-9)
    assert batch.status.shape == tensors.status.shape == (2, 3)
    for i in np.ndindex(2, 3):
        alone = solve_descent(row(problem, i))
        assert_allclose(alone.latency, batch.latency[i], rtol=1e-9)
        assert_array_equal(alone.assignment, batch.assignment[i])
        assert_allclose(alone.power, batch.power[i], rtol=1e-6, atol=1e-12)
    grade = epsl_residual(problem, batch)
    assert max(grade.feasibility.max(), grade.clock.max()) < 1e-9
    assert_allclose(epsl_residual(as_torch(problem), tensors).clock.numpy(), 0, atol=1e-9)


@pytest.mark.parametrize("number", range(10))
def test_no_round_of_the_descent_is_worse_than_the_one_before(rng, number):
    problem = instance(rng, 5, 12, cuts=6)
    rounds = [float(solve_descent(problem, most=most).latency) for most in range(1, 8)]
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(rounds))
    assert rounds[-1] < rounds[0] or solve_descent(problem).steps == 2


def test_the_greedy_rule_counts_with_the_power_that_a_device_has():
    """Two devices alike but for their peaks: the weak one, of half a watt, makes up for it with subchannels of one watt each."""
    problem = EpslProblem(np.zeros((2, 1)), np.zeros((2, 1)), np.zeros(1), np.array([1e6]), np.zeros(1), np.zeros(1),
                          np.full((2, 4), WIDTH), WIDTH, np.array([0.5, 9.0]), 9.0, 1.0)
    assert_array_equal(np.bincount(greedy(problem, np.array(0), np.ones(4))), [3, 1])
    assert_array_equal(np.bincount(greedy(replace(problem, peak_power=9.0), np.array(0), np.ones(4))), [2, 2])


@pytest.mark.parametrize("number", range(30))
def test_the_exact_answer_and_its_bound_agree_with_enumeration(rng, number):
    devices, bands = [(1, 4), (2, 4), (2, 5), (3, 4), (3, 5), (4, 4)][number % 6]
    weakest, strongest = [(-10, 30), (-60, 20), (0, 100), (10, 10.1), (-60, 100)][number % 5]
    problem = instance(rng, devices, bands, weakest_db=weakest, strongest_db=strongest)
    problem = replace(problem, total_power=problem.peak_power.sum() * rng.choice([0.1, 0.7, 1.5]))
    up, down = [([1, 1, 1], [1, 1, 1]), ([1, 1, 1], [0, 0, 0]), ([1, 1, 0], [1, 1, 0]), ([0, 0, 0], [1, 1, 1])][number % 4]
    problem = replace(problem, uplink_bits=problem.uplink_bits * up, unicast_bits=problem.unicast_bits * down)
    found, best = solve_exact(problem), by_enumeration(problem)
    assert found.status is Status.OPTIMAL
    assert best * (1 - 1e-9) <= found.latency <= best * (1 + 1e-4)
    assert best * (1 - 1e-4) <= found.lower_bound <= best * (1 + 1e-9)
    assert found.latency <= solve_descent(problem).latency
    assert np.min(floor(problem)) <= best * (1 + 1e-9)
    grade = epsl_residual(problem, found)
    assert max(grade.feasibility, grade.clock) < 1e-9
    assert_allclose(grade.gap, found.gap, atol=1e-12)


@pytest.mark.parametrize("number", range(5))
def test_the_exact_answer_is_certified_where_nobody_can_enumerate(rng, number):
    problem = instance(rng, 4, 10, cuts=4)
    found, descent = solve_exact(problem), solve_descent(problem)
    assert found.gap <= 1e-4
    assert found.lower_bound <= found.latency <= descent.latency
    assert descent.lower_bound <= found.latency


@pytest.mark.parametrize("number", range(10))
def test_no_tangent_cuts_off_a_decision(rng, number):
    """Every row of the master program holds for every assignment with its best power, wherever the tangents touch."""
    problem = instance(rng, 3, 5, cuts=1, weakest_db=-30, strongest_db=50)
    assignment, cut = every_assignment(problem)
    power = best_power(problem, cut, assignment)
    stages = latency(problem, cut, assignment, power)
    linked = np.isfinite(stages.total)
    limit = (stages.uplink + stages.downlink)[linked].max()
    master = Master(problem, 0, limit)
    for k in rng.choice(np.flatnonzero(linked), 10):
        share = (assignment[k] == np.arange(3)[:, None]).astype(float)
        master.touch(Point(share, share @ power[k], np.ones(3), stages.uplink[k], stages.downlink[k]))
        blurred = rng.dirichlet(np.ones(3), 5).T
        master.cut_off(Point(blurred, problem.peak_power * rng.random(3), np.ones(3), master.first, master.last))
    rows, least = np.concatenate(master.rows), np.concatenate(master.least)
    for k in np.flatnonzero(linked):
        share = (assignment[k] == np.arange(3)[:, None]).astype(float)
        spent = share @ power[k]
        rate = np.sum(share * np.log1p(power[k] * problem.gain / WIDTH), axis=1) * WIDTH / np.log(2)
        x = np.concatenate([share.ravel(), spent / problem.total_power, np.minimum(rate / master.most, 1),
                            [stages.uplink[k] / master.unit, stages.downlink[k] / master.unit]])
        assert np.all(rows @ x >= least - 1e-9)


def test_one_assignment_is_forgotten_and_no_other():
    problem = instance(np.random.default_rng(0), 2, 3, cuts=1)
    master = Master(problem, 0, 100.0)
    for forgotten in ([0, 1, 1], [-1, 1, 0]):
        master.forget(np.array(forgotten))
        for other in itertools.product((-1, 0, 1), repeat=3):
            x = np.concatenate([(np.array(other) == np.arange(2)[:, None]).ravel(), np.zeros(6)])
            assert (master.rows[-1] @ x >= master.least[-1]).item() == (list(other) != forgotten)


@pytest.mark.parametrize("change", [{"total_power": 1.5}, {"peak_power": 1.5}, {"width": 1.3}, {"downlink_density": 2.0}])
def test_more_power_or_band_never_hurts(rng, change):
    (name, factor), problem = next(iter(change.items())), instance(rng, 3, 7)
    less, more = solve_exact(problem), solve_exact(replace(problem, **{name: getattr(problem, name) * factor}))
    assert more.lower_bound <= less.latency
    assert more.latency <= less.latency * (1 + 1e-4)


def test_order_of_devices_and_subchannels_does_not_matter(rng):
    problem = instance(rng, 3, 7)
    i, m = rng.permutation(3), rng.permutation(7)
    other = replace(problem, gain=problem.gain[i][:, m], device_forward=problem.device_forward[i],
                    device_backward=problem.device_backward[i], peak_power=problem.peak_power[i])
    assert_allclose(solve_exact(other).latency, solve_exact(problem).latency, rtol=1e-4)
    assert_allclose(solve_descent(other).latency, solve_descent(problem).latency, rtol=1e-9)


def test_a_device_alone_takes_the_whole_band(rng):
    problem = instance(rng, 1, 6)
    found = solve_exact(problem)
    assert_array_equal(found.assignment, 0)
    assert_allclose(found.latency, floor(problem).min(), rtol=1e-9)


def test_a_wide_subchannel_is_worth_more(rng):
    """Unequal widths: the certificate holds against enumeration all the same."""
    problem = replace(instance(rng, 2, 5), width=WIDTH * np.array([0.5, 1, 2, 1, 0.25]))
    found, best = solve_exact(problem), by_enumeration(problem)
    assert best * (1 - 1e-4) <= found.lower_bound <= best * (1 + 1e-9)
    assert found.latency <= best * (1 + 1e-4)


@pytest.mark.parametrize("solve", [solve_descent, solve_exact])
def test_an_infeasible_problem_is_an_answer(rng, solve):
    problem = instance(rng, 2, 4)
    dead, narrow = problem.gain.copy(), problem.gain.copy()
    dead[1], narrow[:, 1:] = 0.0, 0.0
    for gain, status in ((dead, Status.LINK), (narrow, Status.BAND)):
        found = solve(replace(problem, gain=gain))
        assert found.status is status
        assert np.isinf(found.latency)
        assert np.isinf(found.gap)
        assert np.isinf(found.lower_bound) == (status is Status.LINK or solve is solve_exact)
        assert not found.power.any()
        assert not found.assignment.any()
    crowd = instance(rng, 5, 4)
    assert solve(crowd).status is Status.BAND


def test_what_the_greedy_rule_strands_is_bounded_as_ever():
    """Two devices, the second of which hears one subchannel, which the first one takes."""
    none, one = np.zeros(1), np.ones(1)
    problem = EpslProblem(np.zeros((2, 1)), np.zeros((2, 1)), none, 1e6 * one, 1e6 * one, none,
                          1e6 * np.array([[10.0, 9.0], [20.0, 0.0]]), 1e6, np.ones(2), 3.0, 1e-6)
    stranded, best = solve_descent(problem), solve_exact(problem)
    assert stranded.status is Status.BAND
    assert 0 < stranded.lower_bound <= best.latency < np.inf


def test_a_device_that_the_greedy_rule_strands_is_served_by_the_exact_method():
    """The slower device takes the subchannel that is best for it, the only one that the other hears."""
    problem = instance(np.random.default_rng(1), 2, 2)
    late = problem.device_forward + np.array([[9.0], [0.0]])
    problem = replace(problem, gain=WIDTH * np.array([[0.1, 0.09], [0.2, 0.0]]), device_forward=late)
    assert solve_descent(problem).status is Status.BAND
    found = solve_exact(problem)
    assert found.status is Status.OPTIMAL
    assert_array_equal(found.assignment, [1, 0])
    assert_allclose(found.latency, by_enumeration(problem), rtol=1e-4)


def test_a_poor_start_leaves_the_certificate_sharp():
    """The descent ends hundreds of times above the optimum: tolerances are relative to the optimum all the same."""
    gain_db = np.array([[-np.inf, -np.inf, -46.8, 12.8], [-18.2, -np.inf, -58.8, -np.inf], [-36.2, -16.3, -np.inf, -15.7]])
    problem = replace(instance(np.random.default_rng(0), 3, 4), gain=WIDTH * 10 ** (gain_db / 10))
    found, best = solve_exact(problem), by_enumeration(problem)
    assert solve_descent(problem).latency > 100 * best
    assert_allclose(found.latency, best, rtol=1e-9)
    assert best * (1 - 1e-4) <= found.lower_bound <= best * (1 + 1e-9)


def test_a_batch_keeps_its_dead_rows_apart(rng):
    problem = instance(rng, 3, 5, rows=(3,))
    gain = problem.gain.copy()
    gain[1, 2] = 0.0
    found = solve_descent(replace(problem, gain=gain))
    assert [s is Status.LINK for s in found.status] == [False, True, False]
    assert_array_equal(np.isfinite(found.latency), [True, False, True])
    assert_allclose(found.latency[0], solve_descent(row(problem, 0)).latency, rtol=1e-9)


def test_a_search_that_runs_out_of_time_says_so_and_keeps_its_bound(rng):
    problem = instance(rng, 3, 5)
    found, best = solve_exact(problem, seconds=0.0), by_enumeration(problem)
    assert found.status is Status.STALLED
    assert found.gap > 1e-4
    assert found.lower_bound <= best <= found.latency * (1 + 1e-9)
    assert found.latency <= solve_descent(problem).latency


@pytest.mark.parametrize("number", range(5))
def test_without_any_tangent_the_search_is_an_enumeration(rng, number, monkeypatch):
    """Where tolerances hide what a tangent would cut off, assignments are left out one by one, and the answer is the same."""
    problem = instance(rng, 2, 5)
    monkeypatch.setattr(Master, "cut_off", lambda self, point: 0)
    monkeypatch.setattr(Master, "touch", lambda self, point: None)
    found, best = solve_exact(problem, seconds=5.0), by_enumeration(problem)
    assert found.status is Status.OPTIMAL
    assert best * (1 - 1e-4) <= found.lower_bound <= best * (1 + 1e-9)


def test_a_false_answer_gets_a_bad_grade(rng):
    problem = instance(rng, 3, 5)
    found = solve_exact(problem)

    def grade(**change) -> dict[str, float]:
        return vars(epsl_residual(problem, replace(found, **change)))

    assert grade(power=found.power * 1.1)["feasibility"] == pytest.approx(0.1, abs=0.01)
    spent = np.array([found.power[found.assignment == i].sum() for i in range(3)])
    weaker = replace(problem, peak_power=spent * [1.0, 0.8, 1.0])
    assert_allclose(epsl_residual(weaker, found).feasibility, 0.25)
    slow = Stages(found.stages.uplink, found.stages.server, found.stages.broadcast, found.stages.downlink - 0.1 * found.latency)
    assert grade(stages=slow)["clock"] == pytest.approx(0.1)
    assert grade(lower_bound=found.lower_bound * 0.9)["gap"] == pytest.approx(0.1, abs=1e-3)
    assert np.isinf(grade(assignment=found.assignment + 1)["feasibility"])
    assert np.isinf(grade(power=-found.power)["feasibility"])
    assert np.isinf(grade(cut=np.array(7))["feasibility"])


@pytest.mark.parametrize(("change", "sentence"), [
    ({"gain": -np.ones((2, 3))}, r"gain must be .* zero or more \[Hz/W\]"),
    ({"gain": np.ones(3)}, r"gain must be \(\.\.\., C, M\)"),
    ({"width": 0.0}, r"width must be .* positive \[Hz\]"),
    ({"server": [np.nan, 1.0, 1.0]}, r"server must be .* \[s\]"),
    ({"total_power": 0.0}, r"total_power must be .* positive \[W\]"),
    ({"downlink_density": np.inf}, r"downlink_density must be .* \[W/Hz\]"),
])
def test_a_bad_problem_is_a_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(instance(np.random.default_rng(0), 2, 3), **change)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"batch": 0}, "batch must be"), ({"batch": 2.5}, "batch must be"), ({"aggregated": 1.5}, r"aggregated must be .* \[0, 1\]"),
    ({"clock": 0.0}, r"clock must be positive \[Hz\]"), ({"last_layer_flops": 1e9}, "at least last_layer_flops"),
])
def test_bad_amounts_are_a_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        epsl_problem(np.ones((2, 3)), **{**AMOUNTS, **change})


def test_the_exact_method_takes_one_problem(rng):
    with pytest.raises(ValueError, match="one problem, got a batch of shape"):
        solve_exact(instance(rng, 2, 3, rows=(4,)))
