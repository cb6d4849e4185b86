"""Devices sit rounds out where waiting costs more than their part is worth, and no more often than they may."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wirelessfl as wfl
from channels.trace import Trace
from optim.worth import Worth
from wirelessfl.config import SettingsError
from wirelessfl.decide import decide
from wirelessfl.decision import Scene
from wirelessfl.policy import POLICIES
from wirelessfl.prepare import prepare
from wirelessfl.presence import STEP, afresh, downhill
from wirelessfl.pricing import absence
from wirelessfl.record import rounds_table

SMALL = ("cell.devices=5", "training.rounds=30", "training.model=mlp", "decision.pilot_rounds=6", "data.train=200",
         "data.test=50", "training.evaluate_every=30")


def scenario(*more):
    return wfl.load_scenario(overrides=(*SMALL, *more))


@pytest.fixture(scope="module")
def measured():
    return wfl.measure(wfl.world(scenario(), 0))


def played(measured, *more, policy="joint"):
    return list(wfl.simulate(scenario(*more), policy, 0, measured))


def shares(records):
    return np.mean([r.who for r in records], axis=0)


def latencies(records):
    return [r.latency for r in records]


def recorded(tmp_path, gain):
    """A trace of gains (T, K), one a round of a second and more."""
    Trace(np.arange(len(gain)) * 1e-3, gain[:, :, None]).save(tmp_path / "t.npz")
    return "channel.fading=trace", f"channel.trace={tmp_path / 't.npz'}"


@pytest.mark.parametrize("least", [0.8, 0.5, 0.2])
def test_who_may_sit_out_does_and_keeps_its_share(measured, least):
    """The slack is that of one round in thirty and of the first ones, in which credit has yet to grow."""
    there = shares(played(measured, f"decision.participation={least}"))
    assert there.min() < 1
    assert there.min() >= least - 0.1


def test_the_more_may_sit_out_the_shorter_are_rounds_and_the_more_is_lost(measured):
    runs = [played(measured, f"decision.participation={least}") for least in (1.0, 0.7, 0.4, 0.0)]
    lasting, lost = np.mean([latencies(run) for run in runs], axis=1), [rounds_table(run)["progress_lost"].mean() for run in runs]
    assert np.all(np.diff(lasting) < 0)
    assert np.all(np.diff(lost) > 0)
    assert min(shares(runs[-1])) < 0.4


@pytest.mark.parametrize("policy", ["everyone", "equal", "light-fixed"])
def test_under_a_policy_that_decides_no_presence_all_are_there(measured, policy):
    free, all_there = (played(measured, f"decision.participation={least}", policy=policy) for least in (0.0, 1.0))
    assert shares(free).min() == 1
    assert latencies(free) == latencies(all_there)


def test_everyone_is_joint_where_nobody_may_sit_out(measured):
    assert latencies(played(measured)) == latencies(played(measured, "decision.participation=0", policy="everyone"))


def test_nobody_sits_out_whose_data_nobody_else_has(measured):
    """So dissimilar that a round without one of them would lose more than all."""
    unlike = replace(measured, dissimilarity=100.0)
    assert shares(played(unlike, "decision.participation=0", "training.rounds=5")).min() == 1


def test_a_device_in_a_deep_fade_sits_that_round_out_and_is_back_afterwards(measured, tmp_path):
    """Rounds of all devices would take a hundred thousand times as long while it lasts."""
    gain = np.full((4000, 5), 1e-9)
    gain[100:160, 2] = 1e-15
    ran = played(measured, "decision.participation=0.9", "training.rounds=60", *recorded(tmp_path, gain))
    faded = np.array([r.gain[2] < 1e-12 for r in ran])
    assert faded.any()
    assert not faded.all()
    assert not any(r.who[2] for r, deep in zip(ran, faded, strict=True) if deep)
    assert np.mean([r.who[2] for r, deep in zip(ran, faded, strict=True) if not deep]) > 0.8
    assert max(latencies(ran)) < 3 * np.median(latencies(ran))


def test_credit_grows_while_a_device_is_away_and_is_used_up_while_it_is_there(measured):
    w = wfl.world(scenario("decision.participation=0.5"), 0)
    decider, before = prepare(POLICIES["joint"], w, measured), None
    for number in range(6):
        gains = w.air.start(w.rng("fading", number)).seen(w.rng("estimates", number), w.knowledge, 0.0)
        now = decide(w, measured, decider, Scene(number, gains, w.hardware.battery, np.zeros(5, bool)), before)
        last = np.zeros(5) if before is None else before.credit
        step = STEP * now.so_far.price
        assert_allclose(now.credit, np.maximum(last + np.where(now.who, -0.5, 0.5) * step, 0))
        before = now
    assert before.credit.max() > 0


def test_price_and_progress_count_who_is_not_there(measured):
    w = wfl.world(scenario("decision.participation=0"), 0)
    decider = prepare(POLICIES["joint"], w, measured)
    gains = w.air.start(w.rng("fading", 0)).seen(w.rng("estimates", 0), w.knowledge, 0.0)
    first = decide(w, measured, decider, Scene(0, gains, w.hardware.battery, np.zeros(5, bool)))
    assert not first.who.all()
    assert first.absence == absence(w, measured, first.who) > 0
    prior = Worth.prior(decider.worth)
    assert first.so_far == prior.after(first.now.latency.max(), first.now.objective + first.absence)
    record = played(measured, "decision.participation=0", "training.rounds=1")[0]
    assert_array_equal(record.who, first.who)
    assert rounds_table([record])["progress_lost"][0] == record.allocation.objective + first.absence


def test_the_search_for_who_is_there_is_near_the_best_of_all_sets(measured):
    """T - mu (1 - Phi) over all 31 sets of five devices, on twenty channels: less than 1 % of mu is lost."""
    w = wfl.world(scenario("decision.participation=0"), 0)
    decider = prepare(POLICIES["joint"], w, measured)
    only = replace(decider, participation=1.0)
    cost, least = [], []
    for number in range(20):
        gains = w.air.start(w.rng("fading", number)).seen(w.rng("estimates", number), w.knowledge, 0.0)
        who, now, _ = afresh(w, measured, decider, gains, 1.0, w.hardware.battery)
        cost.append(decider.cost(now, absence(w, measured, who), decider.worth))
        least.append(min(alone(w, measured, only, gains, np.array(some)) for some in itertools.product((False, True), repeat=5)))
    assert np.all(np.array(least) <= np.array(cost) + 1e-6 * decider.worth)
    assert np.mean(np.array(cost) - np.array(least)) < 0.01 * decider.worth


def alone(w, measured, decider, gains, who):
    """T - mu (1 - Phi) of a round among ``who``."""
    if not who.any():
        return np.inf
    p = wfl.pricing.priced(w, measured, gains, np.ones((5, 2)), who)
    return decider.cost(decider.decide(p), absence(w, measured, who), decider.worth)


@pytest.mark.parametrize("more", [
    ("decision.deadline_ms=60",), ("training.interval=3",), ("decision.every=2",), ("devices.energy_budget_mj=3",),
    ("devices.battery_j=0.05",), ("training.algorithm=fsl-sage", "training.local_steps=2", "training.every=2"),
    ("training.algorithm=splitfed-v1",), ("decision.exponent=0.5",), ("decision.bound=constants",)])
def test_presence_goes_with_all_else_that_is_decided(more):
    own = wfl.measure(wfl.world(scenario(*more), 0))
    ran = played(own, "decision.participation=0.5", "training.rounds=12", *more)
    assert len(ran) == 12
    assert any(r.who.any() and not r.who.all() for r in ran)


@pytest.mark.parametrize("policy", ["greedy", "online", "mean", "equal-band", "fixed-split", "no-pruning"])
def test_every_policy_that_decides_presence_lets_devices_sit_out(measured, policy):
    there = shares(played(measured, "decision.participation=0.5", policy=policy))
    assert 0.4 <= there.min() < 1


def test_sitting_out_is_decided_on_each_rounds_channel_or_not_at_all():
    with pytest.raises(SettingsError, match=r"participation below 1 .* decision\.when must be every-round, got 'once'"):
        wfl.world(scenario("decision.participation=0.5", "decision.when=once"), 0)


@pytest.mark.parametrize(("costs", "start", "best"), [
    ([3, 2, 1, 2], 0, 2), ([3, 2, 1, 2], 3, 2), ([1, 2, 3], 2, 0), ([1], 5, 0), ([np.inf, np.inf, 1], 2, 2), ([2, 2, 2], 1, 1)])
def test_downhill_ends_where_both_neighbours_are_no_better(costs, start, best):
    assert downhill(lambda number: costs[number], start, len(costs) - 1) == best
