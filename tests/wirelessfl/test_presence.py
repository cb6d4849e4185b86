"""Devices sit rounds out where waiting costs more than their part is worth, and no more often than they may."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wirelessfl as wfl
from channels.trace import Trace
from optim.absence import missing
from optim.fastest import least_deadline
from optim.worth import Worth
from wirelessfl.config import SettingsError
from wirelessfl.decide import decide
from wirelessfl.decider import WINDOW
from wirelessfl.decision import Scene
from wirelessfl.policy import POLICIES
from wirelessfl.prepare import prepare
from wirelessfl.presence import STEP, afresh, downhill
from wirelessfl.pricing import absence, priced
from wirelessfl.record import rounds_table

SMALL = ("cell.devices=5", "training.rounds=30", "training.model=mlp", "decision.pilot_rounds=6", "data.train=200",
         "training.batch=16", "data.test=50", "training.evaluate_every=30")


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
    """But for the rounds that a device lacks until they are worth its wait, five or so of sixty."""
    there = shares(played(measured, f"decision.participation={least}", "training.rounds=60"))
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


def test_the_longer_rounds_are_remembered_the_fewer_devices_a_round_needs(measured):
    runs = [played(measured, "decision.participation=0", f"decision.memory={memory}") for memory in (1, 3, 10)]
    assert np.all(np.diff([np.mean([r.who.sum() for r in run]) for run in runs]) < 0)
    assert np.all(np.diff([np.mean(latencies(run)) for run in runs]) < 0)


def test_devices_whose_data_nobody_else_has_take_turns_if_rounds_are_remembered(measured):
    """So dissimilar that round by round nobody could be left out; in the mean of the rounds each weighs about as its data."""
    unlike = replace(measured, dissimilarity=100.0)
    more = ("decision.participation=0", "decision.memory=20", "training.rounds=60")
    who, weights = np.array([r.who for r in played(unlike, *more)]), wfl.world(scenario(), 0).weights
    assert who.mean() < 0.9
    there = who * weights
    assert_allclose((there / there.sum(1, keepdims=True)).mean(0), weights, atol=0.05)


@pytest.mark.parametrize("more", [("decision.every=10",), ("training.interval=4",)])
def test_a_choice_that_stands_for_several_rounds_is_weighed_for_all_of_them(measured, more):
    """Data so unlike that one set for ten rounds must be nearly everybody, although rounds are remembered."""
    own = measured if more[0].startswith("decision") else wfl.measure(wfl.world(scenario(*more), 0))
    ran = played(replace(own, dissimilarity=20.0), "decision.participation=0", "decision.memory=10", "training.rounds=40", *more)
    assert np.mean([r.progress_lost >= 1 for r in ran]) < 0.1


def test_a_decision_knows_what_was_missing_before_it(measured):
    w = wfl.world(scenario("decision.participation=0", "decision.memory=5"), 0)
    decider, before, missed = prepare(POLICIES["joint"], w, measured), None, np.zeros(5)
    for number in range(4):
        gains = w.air.start(w.rng("fading", number)).seen(w.rng("estimates", number), w.knowledge, 0.0)
        before = decide(w, measured, decider, Scene(number, gains, w.hardware.battery, np.zeros(5, bool)), before)
        assert before.absence == absence(w, measured, before.who, missed, 5.0)
        missed = missing(w.weights, before.who, missed, 5.0)
        assert_allclose(before.missed, missed)
    assert np.abs(missed).max() > 0


def test_a_memory_is_of_one_round_at_least():
    with pytest.raises(SettingsError, match=r"decision\.memory must be 1 or more, .* or 0 .*\[rounds\], got 0\.5"):
        scenario("decision.memory=0.5")


@pytest.mark.parametrize(("lasts", "absent"), [(60, "leave-out"), (2000, "leave-out"), (2000, "stop")])
def test_a_device_in_a_deep_fade_sits_that_out_and_is_back_afterwards(measured, tmp_path, lasts, absent):
    """Rounds of all devices would take thousands of times as long while it lasts, for two rounds or fifty."""
    gain = np.full((8000, 5), 1e-9)
    gain[100:100 + lasts, 2] = 1e-15
    ran = played(measured, "decision.participation=0.9", "training.rounds=90", f"decision.absent={absent}",
                 *recorded(tmp_path, gain))
    faded = np.array([r.gain[2] < 1e-12 for r in ran])
    assert faded.any()
    assert not faded.all()
    assert not any(r.who[2] for r, deep in zip(ran, faded, strict=True) if deep)
    assert np.mean([r.who[2] for r, deep in zip(ran, faded, strict=True) if not deep]) > 0.7
    assert max(latencies(ran)) < 3 * np.median(latencies(ran))


def test_who_cannot_take_part_sits_out_and_does_not_stop_the_run(measured):
    """Not all devices can do a round within 30 ms: without some there is one, whatever the search begins with."""
    tight = ("decision.longest_s=0.03", "decision.absent=stop", "training.rounds=6")
    assert played(measured, *tight)[-1].advice
    ran = played(measured, *tight, "decision.participation=0.5")
    assert len(ran) == 6
    assert not ran[-1].advice


def test_credit_grows_while_a_device_is_away_and_is_used_up_while_it_is_there(measured):
    w = wfl.world(scenario("decision.participation=0.5"), 0)
    decider, before = prepare(POLICIES["joint"], w, measured), None
    for number in range(6):
        gains = w.air.start(w.rng("fading", number)).seen(w.rng("estimates", number), w.knowledge, 0.0)
        now = decide(w, measured, decider, Scene(number, gains, w.hardware.battery, np.zeros(5, bool)), before)
        last = np.zeros(5) if before is None else before.credit
        assert_allclose(now.credit, np.maximum(last + np.where(now.who, -0.5, 0.5), 0))
        before = now
    assert before.credit.max() > 0


def test_a_price_does_not_begin_with_a_round_that_makes_no_progress(measured):
    w = wfl.world(scenario(), 0)
    decider = prepare(POLICIES["online"], w, measured)
    now = decider.decide(wfl.problem(w, measured, w.air.mean_gain))
    assert decider.after(None, now, 1.0) is None
    first = decider.after(None, now, 0.1)
    assert first.price == pytest.approx(now.latency.max() / (0.9 - now.objective))
    assert decider.after(first, now, 1.0).progress == first.progress


def test_price_and_progress_count_who_is_not_there(measured):
    w = wfl.world(scenario("decision.participation=0"), 0)
    decider = prepare(POLICIES["joint"], w, measured)
    gains = w.air.start(w.rng("fading", 0)).seen(w.rng("estimates", 0), w.knowledge, 0.0)
    first = decide(w, measured, decider, Scene(0, gains, w.hardware.battery, np.zeros(5, bool)))
    assert not first.who.all()
    assert first.absence == absence(w, measured, first.who) > 0
    prior = Worth.prior(decider.worth, window=WINDOW)
    assert first.so_far == prior.after(first.now.latency.max(), first.now.objective + first.absence)
    record = played(measured, "decision.participation=0", "training.rounds=1")[0]
    assert_array_equal(record.who, first.who)
    assert rounds_table([record])["progress_lost"][0] == record.allocation.objective + first.absence


@pytest.mark.parametrize(("least", "radius"), [(0.0, 250), (0.8, 250), (0.8, 1000), (0.5, 1000)])
def test_the_search_for_who_is_there_is_near_the_best_of_all_sets(measured, least, radius):
    """T - mu (1 - Phi) less credits, over all 31 sets of five devices, round after round, each with what the last ones left: less
    than 2 % of mu is lost, also where the worst links are a thousand times as bad."""
    w = wfl.world(scenario(f"decision.participation={least}", f"cell.radius_m={radius}"), 0)
    decider, before = prepare(POLICIES["joint"], w, measured), None
    only, lost = replace(decider, participation=1.0), []
    for number in range(16):
        gains = w.air.start(w.rng("fading", number)).seen(w.rng("estimates", number), w.knowledge, 0.0)
        price = decider.price(before and before.so_far)
        credit = np.zeros(5) if before is None else STEP * price * before.credit
        who, now, _ = afresh(w, measured, decider, gains, 1.0, w.hardware.battery, before)
        sets = (np.array(some) for some in itertools.product((False, True), repeat=5) if any(some))
        best = min(among(w, measured, only, gains, some, price) - credit[some].sum() for some in sets)
        found = decider.cost(now, absence(w, measured, who), price) - credit[who].sum()
        lost.append((found - best) / price)
        before = decide(w, measured, decider, Scene(number, gains, w.hardware.battery, np.zeros(5, bool)), before)
    assert np.mean(lost) < 0.02


def among(w, measured, decider, gains, who, price):
    """T - mu (1 - Phi) of a round of these devices."""
    p = wfl.pricing.priced(w, measured, gains, np.ones((5, 2)), who)
    return decider.cost(replace(decider, worth=price).decide(p), absence(w, measured, who), price)


@pytest.mark.parametrize("more", [
    ("decision.deadline_ms=60",), ("training.interval=3",), ("decision.every=2",), ("devices.energy_budget_mj=3",),
    ("devices.battery_j=0.05",), ("training.algorithm=fsl-sage", "training.local_steps=2", "training.every=2"),
    ("training.algorithm=splitfed-v1",), ("decision.exponent=0.5",), ("decision.bound=constants",)])
def test_presence_goes_with_all_else_that_is_decided(more):
    own = wfl.measure(wfl.world(scenario(*more), 0))
    ran = played(own, "decision.participation=0.5", "training.rounds=12", *more)
    assert len(ran) == 12
    assert any(r.who.any() for r in ran)
    assert shares(ran).mean() < shares(played(own, "training.rounds=12", *more)).mean()


@pytest.mark.parametrize("policy", ["greedy", "online", "mean", "equal-band", "fixed-split", "no-pruning"])
def test_every_policy_that_decides_presence_lets_devices_sit_out(measured, policy):
    there = shares(played(measured, "decision.participation=0.5", policy=policy))
    assert 0.35 <= there.min() < 1


def test_sitting_out_is_decided_on_each_rounds_channel_or_not_at_all():
    with pytest.raises(SettingsError, match=r"participation below 1 .* decision\.when must be every-round, got 'once'"):
        wfl.world(scenario("decision.participation=0.5", "decision.when=once"), 0)


@pytest.mark.parametrize(("costs", "start", "best"), [
    ([3, 2, 1, 2], 0, 2), ([3, 2, 1, 2], 3, 2), ([1, 2, 3], 2, 0), ([1], 5, 0), ([np.inf, np.inf, 1], 2, 2), ([2, 2, 2], 1, 1),
    ([np.inf, np.inf, 2, 1], 0, 3), ([2, 1, np.inf], 2, 1), ([np.inf, np.inf], 1, 0)])
def test_downhill_ends_where_both_neighbours_are_no_better(costs, start, best):
    assert downhill(lambda number: costs[number], start, len(costs) - 1) == best


def test_alone_a_device_has_the_whole_band_and_where_that_is_scarce_such_times_add_up(measured):
    """Little time is for computing here: a round of two devices takes what one and the other would together."""
    w = wfl.world(scenario("cell.bandwidth_mhz=0.02", "devices.slowest_gflops=1000", "devices.fastest_gflops=1000",
                           "devices.server_gflops=100000", "cell.downlink_mhz=1000"), 0)
    gains = w.air.start(w.rng("fading", 0)).seen(w.rng("estimates", 0), w.knowledge, 0.0)
    decider, often = prepare(POLICIES["equal"], w, measured), np.ones((5, 2))
    alone = decider.alone(priced(w, measured, gains, often))
    for k in range(5):
        one = priced(w, measured, gains, often, np.arange(5) == k)
        assert alone[k] == pytest.approx(float(least_deadline(decider.allowed(one))), rel=1e-3)     # the server is its own, too
    pair = priced(w, measured, gains, often, np.arange(5) < 2)
    assert float(least_deadline(decider.allowed(pair))) == pytest.approx(alone[:2].sum(), rel=0.1)
