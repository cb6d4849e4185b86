"""The air of a scenario: every law by one word, what goes wrong, and who is left out."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wirelessfl as wfl
from channels.links import Gains, over_band
from channels.trace import Trace
from optim import bound
from optim.allocation import Status
from wirelessfl.air import FADING, MOBILITY, PATH_LOSS, PROCESSES, coherence_time
from wirelessfl.build import check
from wirelessfl.config import SettingsError
from wirelessfl.pricing import constants, priced

SMALL = ("cell.devices=4", "training.rounds=3", "training.model=mlp", "decision.pilot_rounds=6", "data.train=200",
         "training.batch=16", "data.test=50")
RECORDED = Path(__file__).parents[1] / "channels" / "sionna-trace.npz"


def records(*overrides, measured, policy="joint", seed=0):
    return list(wfl.simulate(wfl.load_scenario(overrides=(*SMALL, *overrides)), policy, seed, measured))


@pytest.fixture(scope="module")
def measured():
    return wfl.measure(wfl.world(wfl.load_scenario(overrides=SMALL), 0))


@pytest.mark.parametrize("words", [
    *(f"cell.path_loss={name}" for name in PATH_LOSS if name != "close-in"), *(f"channel.fading={name}" for name in FADING),
    *(f"channel.correlation={name}" for name in PROCESSES), *(f"cell.mobility={name}" for name in MOBILITY),
    "cell.shadowing_db=4", "channel.duplex=fdd", "channel.antennas=4",
    "devices.profiles={phone=0.5, iot-board=0.5}"])
def test_every_word_makes_a_round(measured, words):
    first = records(words, "training.rounds=1", measured=measured)[0]
    assert first.status is Status.OPTIMAL
    assert np.all(first.fate.arrived)
    assert_allclose(first.fate.latency, first.allocation.latency, rtol=1e-9)


@pytest.mark.parametrize("words", [("cell.path_loss=close-in", "cell.carrier_ghz=28"), ("cell.path_loss=uma", "cell.sight=no"),
                                   ("cell.path_loss=inh", "cell.office=open", "cell.sight=yes")])
def test_words_that_go_together_make_a_round(measured, words):
    assert records(*words, "training.rounds=1", measured=measured)[0].status is Status.OPTIMAL


def test_perfect_knowledge_makes_plans_come_true(measured):
    for r in records("cell.mobility=straight", "channel.correlation=jakes", measured=measured):
        assert_allclose(r.latency, r.allocation.latency.max(), rtol=1e-9)
        assert_allclose(r.energy, r.allocation.energy.sum(), rtol=1e-9)
        assert not np.any(r.fate.outage)


def test_a_rate_is_lost_where_the_link_was_taken_for_more_than_it_is(measured):
    """Up to chance: the margin of the scenario is the share of the lost, over many blocks."""
    overrides = ("channel.csi_error=0.1", "decision.outage=0.1", "training.rounds=12", "cell.devices=4")
    ran = records(*overrides, measured=measured)
    w = wfl.world(wfl.load_scenario(overrides=(*SMALL, *overrides)), 0)
    links, wrong = w.air.start(w.rng("fading", 0)), []
    for number in range(1500):
        wrong.append(links.seen(w.rng("estimates", number), w.knowledge, 0.1).up > links.gains.up)
        if number < len(ran):
            assert_array_equal(ran[number].fate.outage, wrong[-1])
        links = links.after(w.rng("fading", number + 1), 1.0)
    assert abs(np.mean(wrong) - 0.1) < 4.5 * np.sqrt(0.1 * 0.9 / (4 * len(wrong)))


def test_without_a_margin_rounds_take_longer_than_planned(measured):
    rough, careful = (records("channel.csi_error=0.1", f"decision.outage={outage}", "training.rounds=10", measured=measured)
                      for outage in (0, 0.05))
    assert sum(r.fate.outage.sum() for r in careful) < 0.5 * sum(r.fate.outage.sum() for r in rough)
    excess = [np.mean([r.latency / r.allocation.latency.max() for r in ran]) for ran in (rough, careful)]
    assert excess[0] > excess[1] >= 1


def test_lost_packets_take_longer_and_may_take_a_device_out_of_the_round(measured):
    plain = records(measured=measured)
    again = records("channel.packet_error=0.3", measured=measured)
    never = records("channel.packet_error=0.3", "channel.attempts=1", measured=measured)
    assert sum(r.latency for r in again) > 1.2 * sum(r.latency for r in plain)
    assert np.all([r.fate.arrived for r in again])
    assert not np.any([r.fate.arrived for r in never])              # of a hundred packets some are always lost
    assert len({r.accuracy for r in never}) == 1
    assert all(r.uplink_bits == 0 and r.latency > 0 for r in never)


def test_who_is_late_is_not_waited_for(measured):
    ran = records("channel.csi_error=0.3", "decision.patience=1", "training.rounds=6", measured=measured)
    late = [r for r in ran if not np.all(r.fate.arrived)]
    assert late
    assert all(r.latency <= r.allocation.latency.max() * (1 + 1e-9) for r in ran)
    assert all(r.uplink_bits > 0 for r in late if np.any(r.fate.arrived))


def test_a_device_with_an_empty_battery_is_left_out(measured):
    ran = records("devices.battery_j=0.02", "training.rounds=24", measured=measured)
    assert np.all(ran[0].who)
    assert np.all(np.sum([r.fate.energy for r in ran], axis=0) <= 0.02 * (1 + 1e-9))
    short = [r for r in ran if r.who.any() and not np.all(r.who)]
    assert short
    for r in short:
        assert r.status is Status.OPTIMAL
        assert np.all(r.allocation.bandwidth[~r.who] == 0)
        assert np.all(r.cut[~r.who] == 0)
        assert_allclose(r.allocation.bandwidth.sum(), 4e6)
    stopped = records("devices.battery_j=0.02", "training.rounds=24", "decision.absent=stop", measured=measured)
    assert stopped[-1].status is Status.ENERGY
    assert "what is left in the batteries is a budget, too" in stopped[-1].advice
    assert len(stopped) < len(ran)


def test_shares_of_the_data_are_those_of_who_is_there(measured):
    world = wfl.world(wfl.load_scenario(overrides=SMALL), 0)
    who = np.array([True, False, True, True])
    gains, times = Gains(world.air.mean_gain, world.air.mean_gain), np.ones((4, 2))
    whole, part = (priced(world, measured, gains, times, some) for some in (None, who))
    assert part.shape == (3, whole.shape[1])
    assert np.all(part.costs.fixed_time < whole.costs.fixed_time[who])          # they share the server and the downlink, too
    assert_allclose(part.costs.fixed_bits, whole.costs.fixed_bits[who])
    expected = bound.relative(constants(world, measured), world.weights[who] / world.weights[who].sum())
    assert_allclose(part.noise, expected[0])
    assert_allclose(part.pruning.value(0.5), expected[1].value(0.5))


def test_between_averagings_who_was_left_out_waits():
    ran = records("training.interval=2", "devices.battery_j=0.02", "training.rounds=24", measured=None)
    assert any(not np.all(r.who) for r in ran[:-1])
    for first, second in zip(ran[:-1:2], ran[1:-1:2], strict=False):
        assert np.all(second.who <= first.who)


def test_a_recording_is_played(measured):
    trace = Trace.load(RECORDED)
    assert trace.devices == 4
    ran = records(f"channel.trace={RECORDED}", "channel.fading=trace", measured=measured)
    assert_array_equal(ran[0].gain, over_band(trace.at(0.0)))
    assert_array_equal(ran[1].gain, over_band(trace.at(ran[0].latency)))
    late = records(f"channel.trace={RECORDED}", "channel.fading=trace", "channel.csi_delay_ms=30", measured=measured)
    for one, other in itertools.pairwise(late):
        old = over_band(trace.at(max(other.elapsed - other.latency - 0.03, 0.0)))
        assert_array_equal(other.fate.uplink_outage, old > other.gain * (1 + 1e-9))
        assert one.elapsed < other.elapsed


@pytest.mark.parametrize("overrides", [
    (), ("channel.correlation=gauss-markov", "cell.mobility=waypoint", "channel.csi_error=0.1", "channel.csi_delay_ms=1",
         "channel.duplex=fdd", "channel.packet_error=0.1", "decision.outage=0.1", "decision.patience=1.5")])
def test_the_same_seed_makes_the_same_air(measured, overrides):
    for one, two in zip(records(*overrides, measured=measured), records(*overrides, measured=measured), strict=True):
        assert_array_equal(one.gain, two.gain)
        assert_array_equal(one.fate.latency, two.fate.latency)
        assert one.accuracy == two.accuracy


@pytest.mark.parametrize("correlation", ["block", "gauss-markov", "jakes"])
def test_policies_move_through_the_same_air(measured, correlation):
    """What is drawn does not depend on how long rounds take; with Jakes' waves the gain is a function of time."""
    joint, equal = (records(f"channel.correlation={correlation}", measured=measured, policy=p) for p in ("joint", "equal"))
    assert_array_equal(joint[0].gain, equal[0].gain)
    if correlation == "block":
        assert_array_equal(joint[-1].gain, equal[-1].gain)


@pytest.mark.parametrize(("overrides", "sentence"), [
    (("channel.fading=rice",), "channel.fading: 'rice' is none of"),
    (("cell.path_loss=umx",), r"cell.path_loss: 'umx' is none of .*did you mean"),
    (("channel.correlation=jake",), "did you mean 'jakes'"),
    (("cell.mobility=walk",), "cell.mobility: 'walk' is none of"),
    (("channel.fading=nakagami", "channel.correlation=jakes"), "it must be block, got 'jakes'"),
    (("decision.outage=0.1",), "decision.outage is a margin for estimates that may be wrong"),
    (("channel.fading=tdl-a", "channel.csi_error=0.1"), "need fading that is one of"),
    (("channel.fading=trace",), "channel.trace names the file for channel.fading = 'trace'"),
    (("channel.fading=trace", f"channel.trace={RECORDED}", "channel.antennas=4", "channel.duplex=fdd"),
     "leave antennas, duplex as they are"),
    (("channel.correlation=still", "channel.csi_delay_ms=2"), "ages nothing where channel.correlation is still"),
    (("cell.sight=no",), "cell.sight has no use for 3gpp-macro"),
    (("devices.profiles={phone=1.0}", "devices.tx_power_dbm=10"), "leave tx_power_dbm as they are"),
    (("decision.patience=0.5",), "decision.patience must be 1 or more"),
    (("channel.trace=a.npz",), "and only for it: got 'a.npz'"),
    (("channel.fading=trace", f"channel.trace={RECORDED}", "cell.devices=7"), "cell.devices must be the 4 of the recording"),
    (("channel.fading=trace", "channel.trace=nowhere.npz"), "nowhere.npz"),
    (("cell.path_loss=uma", "cell.device_height_m=1"), r"device_height must be 1.5 to 22.5 \[m\], got 1"),
    (("cell.path_loss=close-in",), r"cell.carrier_ghz must be 28 for close-in, .* got 2"),
    (("cell.server_height_m=10",), "cell.server_height_m and cell.device_height_m have no use"),
    (("devices.profiles={fone=1.0}",), r"'fone' is none of .*did you mean 'phone'"),
    (("devices.profiles={phone=0.4}",), r"together 1 \[1\], got \[0.4\]"),
    (("cell.slowest_kmh=50",), "cell.slowest_kmh is above cell.fastest_kmh"),
])
def test_what_does_not_go_together_gets_a_sentence_before_any_work(overrides, sentence):
    with pytest.raises(SettingsError, match=sentence):
        check(wfl.load_scenario(overrides=(*SMALL, *overrides)))


def test_the_coherence_time_is_a_quarter_of_a_wavelength_of_way():
    """J0(2 pi d) = 1/2 at d = 0.242: at 2 GHz and 3 km/h after 43.5 ms."""
    s = wfl.load_scenario(overrides=("channel.surroundings_kmh=3",))
    assert_allclose(coherence_time(s), 0.242 * 0.15 / (3 / 3.6), rtol=2e-3)
    assert coherence_time(wfl.load_scenario(overrides=("channel.surroundings_kmh=0",))) == np.inf


@pytest.mark.parametrize("settings", [("channel.fading=none",), ("channel.correlation=still",),
                                      ("channel.fading=trace", "channel.trace=gains.csv")])
def test_waves_that_do_not_change_have_no_coherence_time(settings):
    assert coherence_time(wfl.load_scenario(overrides=("cell.mobility=waypoint", *settings))) == np.inf
    moving = wfl.load_scenario(overrides=("cell.mobility=straight", "cell.fastest_kmh=30"))
    assert_allclose(coherence_time(moving), 0.242 * 0.15 / (33 / 3.6), rtol=2e-3)
