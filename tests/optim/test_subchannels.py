import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from instances import at_slack, pruning_cost, table
from numpy.testing import assert_allclose, assert_array_equal

from optim.allocation import Status
from optim.costs import energy, latency
from optim.deadline import solve_kkt
from optim.problem import Deadline
from optim.subchannels import Subchannels, full_rate, least_rate, loss_of, rate_for
from optim.subchannels_answer import evaluate
from optim.subchannels_bound import ascend, dual_value, residual
from optim.subchannels_exact import joint_bound, lp_bound, relaxed_bound, solve_exact
from optim.subchannels_greedy import _changes, _Value, exchange, hand_out, solve_greedy

WIDTH = 180e3       # [Hz]
KINDS = ("power", "linear", "polygon")


def cell(rng, devices, count, options=1, *, kind="power", slack=0.3, weakest_db=0.0, spread_db=20.0, flat=False, width=WIDTH):
    """Rayleigh fading on each subchannel, over mean signal-to-noise ratios in the whole band of ``weakest_db`` and more.

    The deadline is ``slack`` above the shortest that the mean gains allow where bandwidth is shared continuously.
    """
    band, power = width * count, rng.uniform(0.05, 0.2, devices)
    mean = 10 ** ((weakest_db + rng.uniform(0, spread_db, devices)) / 10) * band / power
    problem = Deadline(table(rng, devices, options), gain=mean, peak_power=power, band=band, deadline=1.0,
                       pruning=pruning_cost(rng, devices, options, kind),
                       noise=rng.uniform(0, 0.02, (devices, options)) / devices)
    fading = np.ones((devices, count)) if flat else rng.exponential(size=(devices, count))
    return Subchannels(at_slack(problem, slack), mean[:, None] * fading, width)


def small(rng, number, **others):
    devices, count = int(rng.integers(2, 4)), int(rng.integers(4, 7))
    others = {"slack": 10 ** rng.uniform(-1.5, 0.3), "kind": KINDS[number % 3], "options": 1 + number % 2, **others}
    return cell(rng, devices, count, **others)


def brute_force(cells):
    """The least loss over all assignments."""
    devices, count = cells.shape
    return evaluate(cells, np.array(list(itertools.product(range(devices), repeat=count)))).objective.min()


# ---------------------------------------- what an assignment is worth

def test_one_device_alone_loses_what_its_water_filled_rate_allows(rng):
    """By hand: two equal subchannels, half the power on each; T = T0 + x C + (alpha + x D) / R at x = 1 - ratio."""
    cells = cell(rng, 1, 2, flat=True)
    gain, power, costs = cells.gain[0, 0], cells.peak_power[0], cells.problem.costs
    by_hand = 2 * WIDTH * np.log2(1 + 0.5 * power * gain / WIDTH)
    found = evaluate(cells, np.array([0, 0]))
    assert_allclose(found.rate, by_hand)
    assert_allclose(found.power, 0.5 * power)
    keep = 1 - found.ratio[0]
    assert_allclose(costs.fixed_time + keep * costs.kept_time + (costs.fixed_bits + keep * costs.kept_bits) / by_hand,
                    cells.problem.deadline)


@pytest.mark.parametrize("number", range(6))
def test_time_and_energy_are_those_of_the_cost_table(rng, number):
    cells = small(rng, number, slack=1.0)
    found = solve_exact(cells)
    costs, keep = cells.problem.costs.of(found.option), 1 - found.ratio[:, None]
    mine = found.assignment == np.arange(cells.shape[0])[:, None]
    rate = (mine * WIDTH * np.log2(1 + found.power * cells.gain / WIDTH)).sum(-1)
    power = (mine * found.power).sum(-1)
    assert_allclose(found.rate, rate)
    assert_allclose(found.latency, latency(costs, keep, rate[:, None])[:, 0])
    assert_allclose(found.energy, energy(costs, keep, power[:, None], rate[:, None])[:, 0])
    assert np.all(found.latency <= cells.problem.deadline * (1 + 1e-9))
    assert np.all(power <= cells.peak_power * (1 + 1e-9))


def test_a_device_that_could_send_faster_than_it_must_radiates_less(rng):
    cells = cell(rng, 1, 4, slack=20.0)
    found = evaluate(cells, np.zeros(4, int))
    assert found.ratio[0] == 0
    assert found.power.sum() < 0.5 * cells.peak_power[0]
    assert_allclose(found.latency, cells.problem.deadline)


def test_the_loss_falls_and_is_convex_in_the_rate(rng):
    for kind in KINDS:
        cells = cell(rng, 1, 4, kind=kind)
        least, most = least_rate(cells)[0], rate_for(cells.table, 1 - cells.table.least)[0, 0]
        rates = np.linspace(least * (1 + 1e-9), 1.2 * min(most, 1e3 * least), 400)
        losses = np.array([loss_of(cells, np.array([rate]))[0][0] for rate in rates])
        assert np.all(np.diff(losses) <= 0)
        assert np.all(np.diff(losses, 2) >= -1e-12)
        assert np.isinf(loss_of(cells, np.array([0.999 * least]))[0][0])


def test_each_device_takes_the_best_option_for_the_rate_that_it_gets(rng):
    cells = cell(rng, 3, 9, options=3, slack=1.0)
    assignment = np.repeat([0, 1, 2], 3)
    free = evaluate(cells, assignment)
    for option in itertools.product(range(3), repeat=3):
        fixed = Subchannels(cells.problem.of(np.array(option)), cells.gain, WIDTH)
        assert evaluate(fixed, assignment).objective >= free.objective - 1e-15
    chosen = Subchannels(cells.problem.of(free.option), cells.gain, WIDTH)
    assert_allclose(evaluate(chosen, assignment).objective, free.objective)


def test_a_device_with_nothing_to_send_needs_no_subchannel(rng):
    cells = cell(rng, 2, 4)
    zero, costs = np.array([[1.0], [0.0]]), cells.problem.costs
    costs = replace(costs, fixed_bits=zero * costs.fixed_bits, kept_bits=zero * costs.kept_bits)
    found = evaluate(Subchannels(replace(cells.problem, costs=costs, deadline=1.0), cells.gain, WIDTH), np.zeros(4, int))
    assert found.status is Status.OPTIMAL
    assert found.ratio[1] == found.rate[1] == 0


# ---------------------------------------- exact

@pytest.mark.parametrize("number", range(40))
def test_exact_is_the_best_of_all_assignments(rng, number):
    cells = small(rng, number)
    best, found = brute_force(cells), solve_exact(cells, gap=1e-6)
    assert_allclose(found.objective, best, rtol=1e-6)
    assert found.status.feasible == np.isfinite(best)
    if found.status.feasible:
        assert found.gap < 1e-4
    else:
        assert found.lower_bound == np.inf


def test_exact_without_time_still_bounds_from_below(rng):
    for number in range(5):
        cells = small(rng, number, slack=0.3)
        found, best = solve_exact(cells, seconds=1e-3), brute_force(cells)
        assert found.lower_bound <= best * (1 + 1e-9)
        assert found.objective >= best * (1 - 1e-9)


@pytest.mark.parametrize("number", range(8))
def test_another_subchannel_more_power_or_more_time_never_hurt(rng, number):
    cells = small(rng, number, slack=0.5)
    before = solve_exact(cells, gap=1e-6).objective
    wider = Subchannels(cells.problem, np.concatenate([cells.gain, cells.gain[:, :1]], axis=1), WIDTH)
    louder = Subchannels(replace(cells.problem, peak_power=1.3 * cells.peak_power), cells.gain, WIDTH)
    later = Subchannels(replace(cells.problem, deadline=1.1 * cells.problem.deadline), cells.gain, WIDTH)
    for richer in (wider, louder, later):
        assert solve_exact(richer, gap=1e-6).objective <= before * (1 + 1e-5)


# ---------------------------------------- bounds

@pytest.mark.parametrize("number", range(24))
def test_every_bound_is_below_the_best_of_all_assignments(rng, number):
    cells = small(rng, number)
    best = brute_force(cells) * (1 + 1e-6)
    assert ascend(cells, brute_force(cells)).bound <= best
    assert relaxed_bound(cells) <= best
    assert lp_bound(cells) <= best
    if cells.problem.shape[-1] == 1:
        assert joint_bound(cells) <= best
    for _ in range(20):
        worth = rng.exponential(size=cells.shape[0]) / least_rate(cells) * 10 ** rng.uniform(-3, 1)
        price = rng.exponential(size=cells.shape[0]) / cells.peak_power * 10 ** rng.uniform(-3, 1)
        assert dual_value(cells, worth, price) <= best


@pytest.mark.parametrize("number", range(12))
def test_the_relaxation_is_one_for_tangents_cones_and_the_ascent(rng, number):
    """Three independent ways to the same number, at 3 to 10 devices on 8 to 20 subchannels."""
    devices, count = int(rng.integers(3, 11)), int(rng.integers(8, 21))
    cells = cell(rng, devices, count, kind=KINDS[number % 3], slack=10 ** rng.uniform(-0.7, 0))
    conic = joint_bound(cells)
    assert_allclose(relaxed_bound(cells), conic, rtol=1e-3)
    climb = ascend(cells, solve_greedy(cells).objective).bound
    assert climb <= conic * (1 + 1e-5)
    assert climb >= 0.93 * conic


@pytest.mark.parametrize("number", range(8))
def test_the_linear_program_bounds_the_problem_with_its_fixed_powers(rng, number):
    """Devices that radiate P / M on each subchannel that they hold: brute force over the sums of those fixed rates."""
    cells = small(rng, number, slack=1.0)
    devices, count = cells.shape
    power = np.broadcast_to(cells.peak_power[:, None] / count, cells.shape)
    fixed = WIDTH * np.log2(1 + power * cells.gain / WIDTH)
    assignments = np.array(list(itertools.product(range(devices), repeat=count)))
    rates = (fixed * (assignments[:, None, :] == np.arange(devices)[:, None])).sum(-1)
    best = loss_of(cells, rates)[0].sum(-1).min()
    bound = lp_bound(cells, power)
    assert bound <= best * (1 + 1e-6)
    assert best >= brute_force(cells) * (1 - 1e-9)                  # gathering power on a few subchannels is never worse


# ---------------------------------------- greedy

@pytest.mark.parametrize("number", range(60))
def test_greedy_lies_between_the_optimum_and_its_certificate_or_says_why_not(rng, number):
    cells = small(rng, number)
    best, found = brute_force(cells), solve_greedy(cells)
    assert found.lower_bound <= best
    assert found.objective >= best * (1 - 1e-12)
    assert found.status in (Status.OPTIMAL, Status.BAND, Status.DEADLINE)
    assert np.isfinite(found.objective) == found.status.feasible
    if np.isfinite(best) and not found.status.feasible:
        assert found.status is Status.BAND
        assert np.isfinite(found.lower_bound)


def test_greedy_seldom_misses_what_is_feasible_and_seldom_the_optimum(rng):
    """Eighty cells with deadlines down to 3 % above the shortest of the continuous problem."""
    hits, misses, feasible = 0, 0, 0
    for number in range(80):
        cells = small(rng, number)
        best, found = brute_force(cells), solve_greedy(cells).objective
        feasible += np.isfinite(best)
        misses += np.isfinite(best) and np.isinf(found)
        hits += np.isfinite(found) and found <= best * (1 + 1e-9)
    assert feasible > 40
    assert misses <= 0.05 * feasible
    assert hits >= 0.8 * feasible


@pytest.mark.parametrize("number", range(6))
def test_no_move_and_no_swap_improves_where_the_exchange_ends(rng, number):
    cells = cell(rng, 4, 10, options=1 + number % 2, slack=1.0)
    start = hand_out(cells, np.full(10, -1))
    end = exchange(cells, start)
    found = evaluate(cells, end).objective
    assert found <= evaluate(cells, start).objective
    moves = [np.where(np.arange(10) == m, k, end) for m in range(10) for k in range(4)]
    swaps = []
    for one, other in itertools.combinations(range(10), 2):
        swapped = end.copy()
        swapped[[one, other]] = end[[other, one]]
        swaps.append(swapped)
    assert evaluate(cells, np.array(moves + swaps)).objective.min() >= found * (1 - 1e-9)


@pytest.mark.parametrize("number", range(6))
def test_one_exchange_is_the_best_of_all_moves_and_swaps(rng, number):
    """From owners at random, free subchannels among them; rates are plentiful, so that all are feasible."""
    cells = cell(rng, 3, 9, options=1 + number % 2, slack=4.0)
    start = rng.permutation(np.array([0, 1, 2, 0, 1, 2, 0, 1, -1]))
    assert np.isfinite(evaluate(cells, start).objective)
    tries = [np.where(np.arange(9) == m, k, start) for m in range(9) for k in range(3)]
    for one, other in itertools.combinations(np.flatnonzero(start >= 0), 2):
        tries.append(start.copy())
        tries[-1][[one, other]] = start[[other, one]]
    assert_allclose(evaluate(cells, exchange(cells, start, 1)).objective, evaluate(cells, np.array(tries)).objective.min())


def test_what_a_swap_and_a_move_are_said_to_save_is_what_they_save(rng):
    cells = cell(rng, 3, 6, options=2, slack=8.0)
    start = np.array([0, 1, 2, 0, 1, 2])
    before = evaluate(cells, start).objective
    moves, swaps = _changes(cells, _Value(cells), start)
    for one, other in itertools.combinations(range(6), 2):
        swapped = start.copy()
        swapped[[one, other]] = start[[other, one]]
        assert_allclose(swaps[one, other], evaluate(cells, swapped).objective - before, atol=1e-12)
    for device, place in np.ndindex(3, 6):
        moved = evaluate(cells, np.where(np.arange(6) == place, device, start)).objective
        assert_allclose(moves[device, place], moved - before, atol=1e-12)


@pytest.mark.parametrize("number", range(8))
def test_subchannels_are_handed_out_by_need_and_then_by_worth(rng, number):
    """The two rules one subchannel and one device at a time, on deadlines that leave devices short for long."""
    cells = cell(rng, 4, 10, options=1 + number % 2, slack=0.1)
    owner, least = np.full(10, -1), least_rate(cells)

    def loss(device, places):
        rate = np.zeros(4)
        rate[device] = full_rate(cells.gain[device, places], WIDTH, cells.peak_power[device]) if len(places) else 0.0
        return loss_of(cells, rate)[0][device], rate[device] / least[device]

    for _ in range(10):
        holds = [list(np.flatnonzero(owner == k)) for k in range(4)]
        best = [max(np.flatnonzero(owner < 0), key=lambda m, k=k: cells.gain[k, m]) for k in range(4)]
        now = [loss(k, holds[k]) for k in range(4)]
        short = [k for k in range(4) if np.isinf(now[k][0])]
        falls = [0.0 if k in short else now[k][0] - loss(k, [*holds[k], best[k]])[0] for k in range(4)]
        chosen = min(short, key=lambda k: now[k][1]) if short else int(np.argmax(falls))
        if not short and falls[chosen] <= 0:
            break
        owner[best[chosen]] = chosen
    assert_array_equal(hand_out(cells, np.full(10, -1)), owner)


def test_the_start_from_the_bound_never_hurts_and_often_pays(rng):
    gains = []
    for _ in range(15):
        cells = cell(rng, 5, 16, slack=1.0)
        plain = evaluate(cells, exchange(cells, hand_out(cells, np.full(16, -1)))).objective
        gains.append(1 - solve_greedy(cells).objective / plain)
    assert min(gains) >= 0
    assert np.sum(np.array(gains) > 1e-3) >= 3


def test_a_batch_is_its_rows(rng):
    cells = cell(rng, 4, 8, options=2, slack=0.5)
    gains = cells.gain * rng.exponential(size=(2, 5, 4, 8))
    deadlines = cells.problem.deadline * rng.uniform(0.5, 2.0, (5,))
    together = solve_greedy(Subchannels(replace(cells.problem, deadline=deadlines), gains, WIDTH))
    for i, j in np.ndindex(2, 5):
        alone = solve_greedy(Subchannels(replace(cells.problem, deadline=deadlines[j]), gains[i, j], WIDTH))
        assert_array_equal(together.assignment[i, j], alone.assignment)
        assert together.status[i, j] is alone.status
        for name in ("option", "ratio", "power", "rate", "latency", "energy", "objective", "lower_bound", "gap"):
            assert_allclose(getattr(together, name)[i, j], getattr(alone, name), rtol=1e-9)


def test_torch_gives_what_numpy_gives(rng):
    cells = cell(rng, 4, 8, options=2, slack=0.5)
    gains = cells.gain * rng.exponential(size=(3, 4, 8))
    here = solve_greedy(Subchannels(cells.problem, gains, WIDTH))
    problem = cells.problem.to(lambda v: torch.from_numpy(np.array(v, float)))
    there = solve_greedy(Subchannels(problem, torch.from_numpy(gains), WIDTH))
    assert_array_equal(here.status, there.status)
    for name in ("assignment", "option", "ratio", "power", "rate", "latency", "energy", "objective", "lower_bound", "gap"):
        assert isinstance(getattr(there, name), torch.Tensor)
        assert_allclose(getattr(there, name).numpy(), getattr(here, name), rtol=1e-9)


def test_the_order_of_devices_and_of_subchannels_does_not_matter(rng):
    cells = cell(rng, 4, 8, slack=0.5)
    devices, places = rng.permutation(4), rng.permutation(8)
    costs, pruning = cells.problem.costs.each(lambda v: v[devices]), cells.problem.pruning.each(lambda v: v[devices])
    problem = replace(cells.problem, costs=costs, pruning=pruning, gain=cells.problem.gain[devices],
                      peak_power=cells.peak_power[devices], noise=cells.problem.noise[devices])
    shuffled = Subchannels(problem, cells.gain[devices][:, places], WIDTH)
    before, after = solve_greedy(cells), solve_greedy(shuffled)
    assert_array_equal(devices[after.assignment], before.assignment[places])
    assert_allclose(after.objective, before.objective)
    assert_allclose(after.lower_bound, before.lower_bound, rtol=1e-3)


def test_units_do_not_matter(rng):
    """Gain times 1000 with watts over 1000; kilohertz and kilobits with hertz and bits."""
    cells = cell(rng, 4, 8, slack=0.5)
    costs = cells.problem.costs
    quieter = Subchannels(replace(cells.problem, peak_power=cells.peak_power / 1e3), cells.gain * 1e3, WIDTH)
    costs = replace(costs, fixed_bits=costs.fixed_bits / 1e3, kept_bits=costs.kept_bits / 1e3)
    smaller = Subchannels(replace(cells.problem, costs=costs), cells.gain / 1e3, WIDTH / 1e3)
    found = solve_greedy(cells)
    for other in (quieter, smaller):
        again = solve_greedy(other)
        assert_array_equal(again.assignment, found.assignment)
        assert_allclose([again.objective, again.lower_bound], [found.objective, found.lower_bound], rtol=1e-6)


@pytest.mark.parametrize("weakest_db", [-60.0, -20.0, 40.0])
def test_deep_fades_and_strong_links_leave_no_hole_in_the_numbers(rng, weakest_db):
    cells = cell(rng, 6, 12, weakest_db=weakest_db, spread_db=60.0, slack=0.5)
    found, exact = solve_greedy(cells), solve_exact(cells, seconds=5.0)
    for answer in (found, exact):
        assert not any(np.isnan(v).any() for name, v in vars(answer).items() if name != "status")
        assert answer.lower_bound <= answer.objective
    assert found.lower_bound <= exact.objective * (1 + 1e-6)


# ---------------------------------------- against continuous bandwidth

@pytest.mark.parametrize("number", range(6))
def test_flat_subchannels_come_near_continuous_bandwidth_as_one_over_their_number(rng, number):
    """The same band cut into 16 to 256 subchannels of equal gain: never below the continuous bound, and above it by O(1 / M)."""
    first = cell(rng, 3, 16, kind=KINDS[number % 3], slack=0.5, flat=True)
    continuous = solve_kkt(first.problem)
    excess = []
    for count in (16, 64, 256):
        cells = Subchannels(first.problem, np.repeat(first.gain[:, :1], count, axis=1), 16 * WIDTH / count)
        cut = np.round(np.cumsum(continuous.bandwidth) / continuous.bandwidth.sum() * count).astype(int)
        rounded = evaluate(cells, np.searchsorted(cut, np.arange(count), side="right")).objective
        found = evaluate(cells, exchange(cells, hand_out(cells, np.full(count, -1)), 3)).objective if count < 256 else rounded
        assert min(rounded, found) >= continuous.lower_bound * (1 - 1e-9)
        excess.append(min(rounded, found) / continuous.objective - 1)
    assert excess[-1] < 0.03
    assert excess[-1] <= 0.35 * max(excess[0], 0.01)


@pytest.mark.parametrize("number", range(6))
def test_shared_flat_subchannels_are_continuous_bandwidth(rng, number):
    """Where each device gets more than one subchannel's width; with less it may not gather all its power there."""
    cells = cell(rng, 3, 16, kind=KINDS[number % 3], slack=0.5, flat=True)
    continuous = solve_kkt(cells.problem)
    assert continuous.bandwidth.min() > WIDTH
    assert_allclose(joint_bound(cells), continuous.objective, rtol=1e-5)
    assert_allclose(relaxed_bound(cells), continuous.objective, rtol=1e-3)


# ---------------------------------------- what is not possible, and bad input

def test_a_device_without_a_link_is_named_and_nothing_bounds_it(rng):
    cells = cell(rng, 3, 6)
    gain = cells.gain.copy()
    gain[1] = 0.0
    for found in (solve_greedy(Subchannels(cells.problem, gain, WIDTH)), solve_exact(Subchannels(cells.problem, gain, WIDTH))):
        assert found.status is Status.LINK
        assert found.objective == found.lower_bound == np.inf
        assert not found.ratio.any()
        assert not found.power.any()


def test_a_deadline_that_one_device_alone_cannot_keep_is_too_short(rng):
    cells = cell(rng, 3, 6)
    found = solve_greedy(Subchannels(replace(cells.problem, deadline=0.02), cells.gain, WIDTH))
    assert found.status is Status.DEADLINE
    assert found.lower_bound == np.inf


def test_fewer_subchannels_than_devices_are_too_narrow_a_band_and_exact_proves_it(rng):
    cells = cell(rng, 3, 2, slack=5.0)
    found, exact = solve_greedy(cells), solve_exact(cells)
    assert found.status is exact.status is Status.BAND
    assert found.gap == np.inf
    assert exact.lower_bound == np.inf


def test_the_grader_finds_what_is_false_in_an_answer(rng):
    cells = cell(rng, 3, 6, slack=0.5)
    found = solve_exact(cells)
    honest = residual(cells, found)
    assert max(honest.feasibility, honest.objective, honest.waste) < 1e-9
    assert honest.gap >= found.gap - 1e-9
    assert residual(cells, replace(found, power=1.1 * found.power)).feasibility > 0.05
    assert residual(cells, replace(found, power=0.9 * found.power)).feasibility > 1e-3
    assert residual(cells, replace(found, ratio=0.5 * found.ratio)).feasibility > 1e-3
    assert_allclose(residual(cells, replace(found, objective=0.9 * found.objective)).objective, 0.1)
    shared = np.bincount(found.assignment).argmax()
    first, second = np.flatnonzero(found.assignment == shared)[:2]
    uneven = found.power.copy()
    uneven[first], uneven[second] = uneven[first] + 0.8 * uneven[second], 0.2 * uneven[second]
    assert residual(cells, replace(found, power=uneven)).waste > 1e-3


@pytest.mark.parametrize(("change", "words"), [
    ({"gain": -1.0}, r"gain must be finite and zero or more \[Hz/W\]"),
    ({"gain": np.nan}, r"gain must be finite and zero or more \[Hz/W\]"),
    ({"gain": np.ones(4)}, r"gain must be \(..., K, M\)"),
    ({"gain": np.ones((5, 4))}, "K = 3 devices"),
    ({"width": 0.0}, r"width must be one positive and finite number \[Hz\], got 0"),
    ({"width": np.ones(4)}, r"width must be one positive"),
])
def test_bad_data_are_named_in_a_sentence(rng, change, words):
    cells = cell(rng, 3, 4)
    if np.ndim(change.get("gain", np.ones(1))) == 0:
        change = {"gain": np.full((3, 4), change["gain"])}
    with pytest.raises(ValueError, match=words):
        replace(cells, **change)


def test_energy_budgets_are_refused_in_a_sentence(rng):
    cells = cell(rng, 3, 4)
    with pytest.raises(ValueError, match=r"energy_budget must be inf \[J\]"):
        Subchannels(replace(cells.problem, energy_budget=1.0), cells.gain, WIDTH)


@pytest.mark.parametrize("assignment", [[0, 1, 2, 3], [0, 1, 2, -2], [0.0, 1.0, 2.0, 0.0], [0, 1, 2]])
def test_an_assignment_names_devices_or_nobody(rng, assignment):
    with pytest.raises(ValueError, match=r"assignment must be \(..., 4\) whole numbers from -1 \(nobody\) to 2"):
        evaluate(cell(rng, 3, 4), np.array(assignment))


def test_exact_methods_take_one_problem_with_time_and_options_that_they_can_state(rng):
    cells = cell(rng, 3, 4, options=2)
    batch = Subchannels(cells.problem, np.stack([cells.gain] * 2), WIDTH)
    for solver in (solve_exact, relaxed_bound, lp_bound, joint_bound):
        with pytest.raises(ValueError, match="takes one problem, got a batch of shape"):
            solver(batch)
    with pytest.raises(ValueError, match="joint_bound takes one option, got 2"):
        joint_bound(cells)
    with pytest.raises(ValueError, match=r"seconds \[s\] and gap \[1\] must be positive"):
        solve_exact(cells, seconds=0.0)


def test_water_filled_rates_are_what_the_devices_of_an_assignment_send_at_most(rng):
    cells = cell(rng, 2, 5)
    found = evaluate(cells, np.array([0, 0, 1, 1, -1]))
    for device, mine in ((0, [0, 1]), (1, [2, 3])):
        most = full_rate(cells.gain[device, mine], WIDTH, cells.peak_power[device])
        assert found.rate[device] <= most * (1 + 1e-12) if found.status.feasible else found.rate[device] == 0
    assert found.power[4] == 0
