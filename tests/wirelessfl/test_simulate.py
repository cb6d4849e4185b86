import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import wirelessfl as wfl
from channels.rates import rate
from channels.units import dbm_to_watt
from optim.allocation import Status
from wirelessfl.policy import POLICIES
from wirelessfl.prepare import prepare
from wirelessfl.record import reached
from wirelessfl.simulate import simulate
from wirelessfl.world import measure
from wirelessfl.world import world as draw

SMALL = ("cell.devices=4", "training.rounds=4", "training.model=mlp", "decision.pilot_rounds=6")
OURS = {name: policy for name, policy in POLICIES.items() if not policy.scheme}       # schemes are for their own algorithms


@pytest.fixture(scope="module")
def scenario():
    return wfl.load_scenario(overrides=SMALL)


@pytest.fixture(scope="module")
def world(scenario):
    return draw(scenario, 0)


@pytest.fixture(scope="module")
def measured(world):
    return measure(world)


def test_the_same_seed_gives_the_same_records_and_another_seed_others(scenario, measured):
    first, again, other = (list(simulate(scenario, "joint", seed, measured)) for seed in (3, 3, 4))
    for one, two, three in zip(first, again, other, strict=True):
        assert (one.accuracy, one.test_loss, one.elapsed, one.spent) == (two.accuracy, two.test_loss, two.elapsed, two.spent)
        assert np.array_equal(one.allocation.bandwidth, two.allocation.bandwidth)
        assert one.elapsed != three.elapsed


def test_policies_on_one_seed_live_in_one_world(scenario, measured):
    joint, equal = (list(simulate(scenario, policy, 0, measured)) for policy in ("joint", "equal"))
    for one, other in zip(joint, equal, strict=True):
        assert np.array_equal(one.gain, other.gain)
        assert np.array_equal(one.speed, other.speed)


def test_the_clock_adds_up_and_the_slowest_device_ends_the_round(scenario, measured):
    records = list(simulate(scenario, "equal", 0, measured))
    assert_allclose([r.latency for r in records], [r.allocation.latency.max() for r in records])
    assert_allclose(records[-1].elapsed, sum(r.latency for r in records))
    assert_allclose(records[-1].spent, sum(r.allocation.energy.sum() for r in records))


def test_the_clock_of_one_device_is_counted_by_hand(scenario, world, measured):
    """Computation, uplink, server and downlink of device 0, from the settings and the counts of the model alone."""
    record = next(simulate(scenario, "no-pruning", 0, measured))
    c, d, p = scenario.cell, scenario.devices, world.profile
    cut, noise = record.cut[0], dbm_to_watt(c.noise_dbm_per_hz + c.noise_figure_db)
    samples = min(32, len(world.shards[0]))
    model, smashed = 32 * (sum(p.weights[:cut]) + sum(p.biases[:cut])), 32 * samples * p.outputs[cut - 1]
    up = rate(record.allocation.bandwidth[0], record.allocation.power[0] * record.gain[0] / noise)
    share = 1 / c.devices
    down = rate(1e6 * c.downlink_mhz * share, dbm_to_watt(d.server_power_dbm) * share * record.gain[0] / noise)
    time = (samples * p.flops(0, cut) / record.speed[0] + (smashed + 4 * samples + model) / up
            + samples * p.flops(cut, p.blocks) / (1e9 * d.server_gflops * share) + (smashed + model) / down)
    assert_allclose(record.allocation.latency[0], time, rtol=1e-9)


@pytest.mark.parametrize("policy", OURS)
def test_a_policy_pulls_only_its_own_levers(scenario, measured, policy):
    record, levers = next(simulate(scenario, policy, 0, measured)), POLICIES[policy]
    found = record.allocation
    assert found.status is Status.OPTIMAL
    if not levers.splits:
        assert len(set(record.cut)) == 1
    if not levers.pruning:
        assert_allclose(found.ratio, levers.ratio)
    if not levers.band:
        assert_allclose(found.bandwidth, 4e6 / 4)
    if not levers.power:
        assert_allclose(found.power, dbm_to_watt(scenario.devices.tx_power_dbm))


def test_more_levers_never_make_the_forecast_worse(world, measured):
    worth = {name: prepare(policy, world, measured).worth for name, policy in OURS.items()}
    for name in ("equal-band", "fixed-split", "no-pruning"):
        assert worth["joint"] <= worth[name] * 1.01 <= worth["equal"] * 1.02


def test_decided_once_stays_decided(measured):
    once = wfl.load_scenario(overrides=(*SMALL, "decision.when=once"))
    records = list(simulate(once, "joint", 0, measured))
    for record in records[1:]:
        assert np.array_equal(record.allocation.ratio, records[0].allocation.ratio)
        assert np.array_equal(record.allocation.bandwidth, records[0].allocation.bandwidth)
    assert len({r.latency for r in records}) == len(records)


def test_between_averagings_splits_and_ratios_stay_and_models_do_not_travel():
    slow = wfl.load_scenario(overrides=(*SMALL, "training.interval=2"))
    records = list(simulate(slow, "joint"))
    for first, second in (records[:2], records[2:]):
        assert np.array_equal(first.cut, second.cut)
        assert_allclose(first.allocation.ratio, second.allocation.ratio, atol=1e-12)
        assert first.downlink_bits > second.downlink_bits


def test_a_round_that_cannot_be_ends_the_run_with_its_reason(measured):
    hopeless = wfl.load_scenario(overrides=(*SMALL, "devices.energy_budget_mj=0.00001"))
    records = list(simulate(hopeless, "joint", 0, measured))
    assert [r.status for r in records] == [Status.ENERGY]
    assert records[0].elapsed == 0
    assert np.isfinite(records[0].accuracy)


def test_a_problem_of_a_world_is_solved_and_graded_through_the_face(world, measured):
    problem = wfl.problem(world, measured, world.air.mean_gain)
    shortest = wfl.least_deadline(problem)
    problem = replace(problem, deadline=1.2 * shortest)
    found = wfl.solve_kkt(problem)
    assert wfl.residual(problem, found).feasibility < 1e-8
    fixed = problem.of(found.option)
    assert_allclose(wfl.solve_cvxpy(fixed).objective, wfl.solve_kkt(fixed).objective, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (4, 3), ()])
def test_gains_that_are_not_one_a_device_get_a_sentence(world, measured, shape):
    with pytest.raises(ValueError, match=re.escape(f"gain must be (..., 4) power gains, one a device [1], got shape {shape}")):
        wfl.problem(world, measured, np.full(shape, 1e-9))


def test_the_target_is_reached_when_the_smoothed_accuracy_does():
    rounds = pd.DataFrame({"policy": "a", "seed": 0, "round": range(5), "accuracy": [0.1, 0.9, 0.2, 0.9, 0.9],
                           "status": "optimal", "devices": 4, "left_out": [0, 0, 0, 0, 2],
                           "lost": [0, 1, 0, 0, 0], "late": 1, "uplink_outages": 1, "downlink_outages": 0, "latency_s": 1.0,
                           "elapsed_s": [1.0, 2, 3, 4, 5], "spent_j": [2.0, 4, 6, 8, 10]})
    row = reached(rounds, 0.85, 2).iloc[0]
    assert (row.rounds, row.time_s, row.energy_j, row.final_accuracy) == (5, 5.0, 10.0, 0.9)
    assert_allclose((row.left_out, row.lost, row.late, row.uplink_outages), (2 / 20, 1 / 18, 5 / 18, 5 / 18))
    assert reached(rounds, 0.95, 2).iloc[0].time_s == np.inf


def test_where_the_time_of_a_device_went_is_counted_by_hand(world, scenario, measured):
    """With FLOPs over speeds: its own, and a quarter of the server's for each of four devices."""
    first = next(simulate(scenario, "equal", 0, measured))
    work = world.work(np.ones((4, 2)), 4)
    for k in range(4):
        option, keep = first.allocation.option[k], 1 - first.allocation.ratio[k]
        own, at_server = ((fixed + keep * kept) for fixed, kept in (work[0, :, k, option], work[2, :, k, option]))
        assert_allclose(first.fate.computing[k], own / first.speed[k], rtol=1e-9)
        assert_allclose(first.fate.serving[k], at_server / (50e9 / 4), rtol=1e-6)
    assert np.all(first.fate.serving > 0)
