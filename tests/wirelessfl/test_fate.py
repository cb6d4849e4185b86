from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from channels.delivery import Packets
from optim.costs import RoundCosts
from optim.deadline import solve_kkt
from optim.problem import Deadline
from optim.pruning_cost import PowerLaw
from wirelessfl.fate import Downlink, fate

DEVICES = 3
DOWN = Downlink(np.array([1e4, 2e4, 0.0]), np.full(DEVICES, 1e5), np.full(DEVICES, 1e5))
IN_TIME = 0.1                    # of computing [s], and then there is the way down


@pytest.fixture
def problem():
    """Costs whose fixed time is the computing and the planned download, as in the roof's problems."""
    fixed = IN_TIME + DOWN.bits / DOWN.chosen
    costs = RoundCosts(fixed[:, None], 0.0, 1e5, 1e5, 1e-3, 0.0)
    return Deadline(costs, gain=np.array([1e7, 3e7, 1e8]), peak_power=0.1, band=1e6, deadline=0.8, pruning=PowerLaw(0.3, 2.0))


@pytest.fixture
def planned(problem):
    found = solve_kkt(problem)
    assert found.status.feasible
    return found


def test_a_plan_that_is_true_comes_true(rng, problem, planned):
    done = fate(rng, planned, problem, problem.gain, DOWN, Packets())
    assert_allclose(done.latency, planned.latency, rtol=1e-12)
    assert_allclose(done.energy, planned.energy, rtol=1e-12)
    assert np.all(done.arrived)
    assert not np.any(done.outage)


def test_a_link_that_is_better_than_planned_changes_nothing(rng, problem, planned):
    done = fate(rng, planned, problem, 2 * problem.gain, DOWN, Packets())
    assert_allclose(done.latency, planned.latency, rtol=1e-12)


def test_an_outage_costs_the_time_and_the_energy_of_sending_again(rng, problem, planned):
    """By hand: the upload twice, the second time at the rate of half the gain, at the same power."""
    truth = problem.gain * np.array([1.0, 0.5, 1.0])
    done = fate(rng, planned, problem, truth, DOWN, Packets())
    bits = 1e5 + 1e5 * (1 - planned.ratio[1])
    carried = planned.bandwidth[1] * np.log2(1 + planned.power[1] * truth[1] / planned.bandwidth[1])
    assert_array_equal(done.outage, [False, True, False])
    assert_allclose(done.latency - planned.latency, [0, bits / carried, 0], atol=1e-12)
    assert_allclose(done.energy - planned.energy, [0, planned.power[1] * bits / carried, 0], atol=1e-12)
    assert np.all(done.arrived)


def test_an_outage_on_the_way_down_costs_time_and_no_energy_of_the_device(rng, problem, planned):
    slow = replace(DOWN, carried=DOWN.chosen * [0.5, 1.0, 1.0])
    done = fate(rng, planned, problem, problem.gain, slow, Packets())
    assert_allclose(done.latency - planned.latency, [1e4 / 5e4, 0, 0], atol=1e-12)
    assert_allclose(done.energy, planned.energy, rtol=1e-9)
    assert_array_equal(done.outage, [True, False, False])


def test_the_server_goes_on_when_its_patience_ends(rng, problem, planned):
    truth = problem.gain * np.array([1.0, 1e-3, 1.0])
    patient, impatient = (fate(rng, planned, problem, truth, DOWN, Packets(), patience) for patience in (0.0, 1.2))
    assert np.all(patient.arrived)
    assert_array_equal(impatient.arrived, [True, False, True])
    assert_allclose(impatient.latency.max(), 1.2 * planned.latency.max())
    assert np.all(impatient.energy <= patient.energy * (1 + 1e-12))
    sending = 1.2 * planned.latency.max() - IN_TIME - DOWN.bits[1] / DOWN.chosen[1]
    assert_allclose(impatient.energy[1], 1e-3 + planned.power[1] * sending)


def test_a_link_that_dies_is_given_up_and_leaves_finite_numbers(rng, problem, planned):
    for attempts in (1, 8):
        done = fate(rng, planned, problem, problem.gain * np.array([1.0, 0.0, 1.0]), DOWN, Packets(attempts=attempts))
        assert_array_equal(done.arrived, [True, False, True])
        assert np.all(np.isfinite(done.latency))
        assert_allclose(done.latency[1], planned.latency[1])
        assert np.all(np.isfinite(done.energy))


def test_lost_packets_cost_what_the_plan_counts_on_in_the_mean(rng, problem):
    """A plan that counts each packet 1 / (1 - q) times is met in the mean."""
    packets = Packets(1e3, 0.2, attempts=50)
    costs = replace(problem.costs, fixed_bits=problem.costs.fixed_bits * packets.transmissions,
                    kept_bits=problem.costs.kept_bits * packets.transmissions,
                    fixed_time=IN_TIME + (packets.transmissions * DOWN.bits / DOWN.chosen)[:, None])
    plan = replace(problem, costs=costs, deadline=np.array(1.0))
    found = solve_kkt(plan)
    took = np.array([fate(rng, found, plan, plan.gain, DOWN, packets).latency for _ in range(2000)])
    assert np.all(np.abs(took.mean(0) - found.latency) < 4.5 * took.std(0) / np.sqrt(len(took)))
    assert np.all(took.std(0) > 0)


def test_those_who_were_left_out_have_no_fate(rng, problem, planned):
    done = fate(rng, planned, problem, problem.gain, DOWN, Packets()).among(np.array([True, False, True, True]))
    assert done.latency[1] == done.energy[1] == 0
    assert_array_equal(done.arrived, [True, False, True, True])


def stages(done):
    return done.download, done.computing, done.serving, done.upload


def test_a_plan_that_is_true_takes_the_times_of_its_table(rng, problem, planned):
    """By hand: bits over rates, and 0.1 s of computing, of which the server has its share."""
    done = fate(rng, planned, problem, problem.gain, DOWN, Packets(), serving=np.array([0.0, 0.02, 0.3]))
    bits = 1e5 + 1e5 * (1 - planned.ratio)
    sent = bits / (planned.bandwidth * np.log2(1 + planned.power * problem.gain / planned.bandwidth))
    for found, by_hand in zip(stages(done), (DOWN.bits / DOWN.chosen, [0.1, 0.08, 0.0], [0.0, 0.02, 0.1], sent), strict=True):
        assert_allclose(found, by_hand, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("up", "down", "patience"), [(1.0, 1.0, 0.0), (0.5, 0.5, 0.0), (0.5, 0.2, 1.05), (0.0, 1.0, 0.0),
                                                      (1.0, 0.0, 0.0)])
def test_the_times_of_a_round_add_up_whatever_becomes_of_it(rng, problem, planned, up, down, patience):
    slow = replace(DOWN, carried=DOWN.chosen * [down, 1.0, 1.0])
    done = fate(rng, planned, problem, problem.gain * np.array([1.0, up, 1.0]), slow, Packets(error=0.2), patience,
                serving=np.array([0.01, 0.02, 0.0]))
    assert_allclose(np.sum(stages(done), axis=0), done.latency, rtol=1e-12)
    assert np.all(np.array(stages(done)) >= 0)


def test_an_empty_battery_ends_the_sending_where_the_energy_ends(rng, problem, planned):
    """By hand: 1 mJ of computing and so much left for sending; the server gives up when the device should have been through."""
    truth, sends = problem.gain * np.array([1.0, 1e-3, 1.0]), 0.01
    left = np.array([np.inf, 1e-3 + planned.power[1] * sends, np.inf])
    done = fate(rng, planned, problem, truth, DOWN, Packets(), left=left)
    assert_array_equal(done.arrived, [True, False, True])
    assert_allclose(done.energy[1], left[1], rtol=1e-9)
    assert_allclose(done.upload[1], sends, rtol=1e-9)
    assert_allclose(done.latency[1], planned.latency[1], rtol=1e-9)
    assert_array_equal(fate(rng, planned, problem, problem.gain, DOWN, Packets(), left=0.9 * planned.energy).late, False)


def test_a_late_device_is_given_up_when_its_battery_is_empty(rng, problem, planned):
    truth, fetched = problem.gain * np.array([1.0, 1e-3, 1.0]), DOWN.bits[1] / DOWN.chosen[1]
    left = np.array([np.inf, 1e-3 + planned.power[1] * 5.0, np.inf])
    done = fate(rng, planned, problem, truth, DOWN, Packets(), left=left)
    assert_allclose(done.upload[1], 5.0, rtol=1e-9)
    assert_allclose(done.latency[1], fetched + IN_TIME + 5.0, rtol=1e-9)
    assert not done.arrived[1]


def test_a_battery_that_ends_while_computing_leaves_nothing_sent(rng, problem, planned):
    done = fate(rng, planned, problem, problem.gain, DOWN, Packets(), left=np.array([np.inf, 2.5e-4, np.inf]), serving=0.02)
    assert_allclose([done.computing[1], done.serving[1], done.upload[1]], [0.25 * 0.08, 0, 0], atol=1e-12)
    assert_allclose(done.energy[1], 2.5e-4)


def test_who_has_computed_has_spent_that_whatever_the_server_still_does(rng, problem, planned):
    """The server's patience ends in its own part of the computing."""
    slow = replace(DOWN, carried=DOWN.chosen * [1.0, 0.5, 1.0])
    patience = (2 * DOWN.bits[1] / DOWN.chosen[1] + DOWN.bits[1] / DOWN.chosen[1] + 0.06) / planned.latency.max()
    done = fate(rng, planned, problem, problem.gain, slow, Packets(), patience, serving=0.05)
    assert_allclose([done.computing[1], done.serving[1]], [0.05, 0.01], rtol=1e-6)
    assert_allclose(done.energy[1], 1e-3)


def test_a_plan_that_uses_up_the_battery_comes_true(rng, problem, planned):
    """Also where the plan is more than is left by the rounding of doubles."""
    done = fate(rng, planned, problem, problem.gain, DOWN, Packets(), left=planned.energy * (1 - 1e-15))
    assert np.all(done.arrived)
    assert_allclose(done.latency, planned.latency, rtol=1e-12)
