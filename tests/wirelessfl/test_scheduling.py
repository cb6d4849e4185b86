"""Schedules of the literature: so many devices in each round, by a rule."""

import importlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wirelessfl as wfl
from channels.links import Gains
from channels.trace import Trace
from wirelessfl.decide import decide
from wirelessfl.decision import Scene
from wirelessfl.policy import POLICIES
from wirelessfl.prepare import prepare
from wirelessfl.pricing import SERVER, costs
from wirelessfl.scheduling import SCHEDULES, scheduled

SMALL = ("cell.devices=5", "training.rounds=20", "training.model=mlp", "decision.pilot_rounds=6", "data.train=200",
         "data.test=50", "training.evaluate_every=20")
RULES, ALL = tuple(SCHEDULES), np.ones(5, bool)


def scenario(*more):
    return wfl.load_scenario(overrides=(*SMALL, *more))


@pytest.fixture(scope="module")
def w():
    return wfl.world(scenario(), 0)


@pytest.fixture(scope="module")
def measured(w):
    return wfl.measure(w)


def played(measured, *more, policy="joint", seed=0):
    return list(wfl.simulate(scenario(*more), policy, seed, measured))


def there(records):
    return np.array([r.who for r in records])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("share", "many"), [(0.0, 1), (0.2, 1), (0.21, 2), (0.6, 3), (1.0, 5)])
def test_so_many_are_there(w, rule, share, many):
    """0.6 of five devices is three, also where 0.6 x 5 is a little more than 3."""
    for number in range(7):
        assert scheduled(rule, w, np.arange(1.0, 6.0), number, share, ALL).sum() == many


def test_in_turn_everybody_is_there_equally_often(w):
    who = np.array([scheduled("round-robin", w, np.ones(5), number, 0.4, ALL) for number in range(5)])
    assert_array_equal(who.sum(0), [2] * 5)
    assert_array_equal(np.flatnonzero(who[0]), [0, 1])
    assert_array_equal(np.flatnonzero(who[2]), [0, 4])


def test_in_turn_nobody_is_passed_over_because_others_come_and_go(w):
    """One a round, the last and the first device unable by turns: the three others have their turns as if nothing were."""
    here = [np.array([number % 2 == 0, True, True, True, number % 2 == 1]) for number in range(20)]
    who = np.array([scheduled("round-robin", w, np.ones(5), number, 0.2, able) for number, able in enumerate(here)])
    assert np.all(who.sum(1) == 1)
    assert np.all(who.sum(0)[1:4] >= 4)


def test_the_turns_of_who_is_never_able_are_everybodys(w):
    """200 decisions, each of the four others in 50 of them: 40 turns of its own, and 10 +- 3 of the one that is not there."""
    able = np.array([False, True, True, True, True])
    who = np.array([scheduled("round-robin", w, np.ones(5), number, 0.2, able) for number in range(200)])
    assert_allclose(who.sum(0)[1:], 50, atol=12)


def test_a_run_knows_the_mean_gains_where_devices_have_gone(measured, monkeypatch):
    simulate, seen = importlib.import_module("wirelessfl.simulate"), []

    def watched(w, measured, decider, scene, before):
        seen.append(scene.mean)
        return decide(w, measured, decider, scene, before)

    monkeypatch.setattr(simulate, "decide", watched)
    fast = scenario("cell.mobility=straight", "cell.fastest_kmh=300", "cell.slowest_kmh=200")
    run = simulate.prepared(fast, "joint", 0, measured)
    links = [simulate.begun(run.world).links] + [now.links for now, _ in itertools.islice(simulate.rounds(run), 3)]
    for mean, there in zip(seen, links, strict=False):
        assert_array_equal(mean, there.spot.mean_gain)
    assert not np.array_equal(seen[0], seen[2])


def test_the_own_mean_is_that_of_where_a_device_is_now(w, measured):
    """Devices far from their beginnings: the mean gains there tell who stands best, not the largest gain."""
    decider = replace(prepare(POLICIES["proportional-fair"], w, measured), participation=0.4)
    here, battery, nothing = w.air.mean_gain, w.hardware.battery, np.zeros(5, bool)
    gone = Scene(0, Gains(here, here), battery, nothing, here / [0.5, 3, 0.1, 1, 2])
    assert_array_equal(np.flatnonzero(decide(w, measured, decider, gone).who), [1, 4])
    worst = int(np.argmin(here))
    only = Scene(0, Gains(np.where(np.arange(5) == worst, 2.0, 1.0) * here, here), battery, nothing)
    assert_array_equal(np.flatnonzero(decide(w, measured, replace(decider, participation=0.2), only).who), [worst])


def test_who_could_do_a_round_among_so_many_has_its_turn(measured):
    """One device a round has the server and the downlink for itself: a deadline that it keeps so is kept."""
    slow = ("decision.participation=0.2", "devices.server_gflops=0.1", "cell.downlink_mhz=0.5", "training.rounds=30")
    free = played(measured, *slow, policy="random")
    deadline = 1.05e3 * max(r.latency for r in free)
    ran = played(measured, *slow, f"decision.deadline_ms={deadline}", policy="random")
    assert_array_equal(there(ran), there(free))


def test_the_servers_aggregated_pass_is_shared_by_those_who_are_there():
    """EPSL's pass of the mean costs the server the same however many devices it is the mean of."""
    w = wfl.world(scenario("training.algorithm=epsl", "training.share=1.0"), 0)
    ones, gains, two = np.ones((5, 2)), Gains(w.air.mean_gain, w.air.mean_gain), np.arange(5) < 2
    alone, pair, five = (w.work(ones, n)[2].sum(0) for n in (1, 2, 5))
    assert np.all(alone[:, 0] > five[:, 0])
    assert_allclose((pair - five) * (1 - 1 / 5), (1 / 2 - 1 / 5) * (alone - five), rtol=1e-9)
    speed = 1e9 * w.scenario.devices.server_gflops / 2
    assert_allclose(costs(w, gains, ones, two, SERVER).fixed_time, pair[:2] / speed, rtol=1e-12)


def test_proportionally_fair_is_who_stands_best_beside_the_own_mean(w):
    found = scheduled("proportional-fair", w, np.array([0.5, 3, 0.1, 1, 2]), 0, 0.4, ALL)
    assert_array_equal(np.flatnonzero(found), [1, 4])


@pytest.mark.parametrize("rule", ["random", "proportional-fair"])
def test_of_equals_each_is_there_as_often_as_others(w, rule):
    """300 draws of two of five, each with a probability of 0.4: a standard deviation of 0.03."""
    who = np.array([scheduled(rule, w, np.ones(5), number, 0.4, ALL) for number in range(300)])
    assert_allclose(who.mean(0), 0.4, atol=0.11)
    assert_array_equal(who[7], scheduled(rule, w, np.ones(5), 7, 0.4, ALL))


@pytest.mark.parametrize("rule", RULES)
def test_a_run_by_a_rule_has_so_many_in_each_round_and_says_what_that_loses(measured, rule):
    ran = played(measured, "decision.participation=0.4", policy=rule)
    assert_array_equal(there(ran).sum(1), [2] * 20)
    assert there(ran).any(0).all()
    assert all(r.absence > 0 for r in ran)
    assert np.mean([r.latency for r in ran]) < np.mean([r.latency for r in played(measured)])


@pytest.mark.parametrize("rule", RULES)
def test_with_all_devices_in_each_round_a_rule_is_joint(measured, rule):
    assert [r.latency for r in played(measured, policy=rule)] == [r.latency for r in played(measured)]


def test_who_is_there_goes_with_the_seed_and_stays_while_a_decision_stands(measured):
    more = ("decision.participation=0.4", "decision.every=4")
    who = there(played(measured, *more, policy="random"))
    assert_array_equal(who, there(played(measured, *more, policy="random")))
    assert not np.array_equal(who, there(played(measured, *more, policy="random", seed=1)))
    assert all(np.all(who[start:start + 4] == who[start]) for start in range(0, 20, 4))
    assert len(np.unique(who[::4], axis=0)) > 1
    turns = there(played(measured, *more, policy="round-robin"))
    assert_array_equal(turns[::4].sum(0), [2] * 5)


@pytest.mark.parametrize("rule", RULES)
def test_devices_are_drawn_among_those_who_are_able(w, rule):
    relative, able = np.array([5.0, 1, 1, 1, 1]), np.array([False, True, True, False, True])
    who = np.array([scheduled(rule, w, relative, number, 0.4, able) for number in range(30)])
    assert_array_equal(who.sum(1), 2)
    assert_array_equal(who.any(0), able)
    assert_array_equal(scheduled(rule, w, relative, 0, 0.9, able), able)
    assert scheduled(rule, w, relative, 0, 0.4, ~ALL).sum() == 2


@pytest.mark.parametrize("rule", RULES)
def test_a_device_without_a_link_has_no_turn_and_the_run_goes_on(measured, tmp_path, rule):
    gain = np.full((4000, 5), 1e-9)
    gain[:, 0] = 1e-20
    Trace(np.arange(4000) * 1e-3, gain[:, :, None]).save(tmp_path / "t.npz")
    ran = played(measured, "decision.participation=0.2", "decision.longest_s=5", "channel.fading=trace",
                 f"channel.trace={tmp_path / 't.npz'}", policy=rule)
    assert_array_equal(there(ran).sum(1), [1] * 20)
    assert_array_equal(there(ran).any(0), [False, True, True, True, True])


def test_a_device_whose_battery_is_empty_has_no_turn(measured):
    """Batteries of a millijoule are used up one after another; then the server waits."""
    ran = played(measured, "decision.participation=0.2", "devices.battery_j=1e-3", "training.rounds=12", policy="round-robin")
    assert set(there(ran).sum(1)) == {0, 1}
    busy = there(ran).sum(1).astype(int)
    assert np.all(np.diff(busy) <= 0)
    assert ran[0].who.any()
