"""Who cannot take part does not stop the others; the clock and the tensors count the same bits whoever is there."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

import wirelessfl as wfl
from channels.trace import Trace
from optim.allocation import Status
from wirelessfl.decide import transfers
from wirelessfl.pricing import priced
from wirelessfl.simulate import begun, prepared, rounds

SMALL = ("training.model=mlp", "decision.pilot_rounds=4", "data.train=200", "data.test=50")
CALIBRATED = {}


def ready(*overrides, policy="joint", seed=0):
    """A run, with the one calibration that all of its kind share."""
    s = wfl.load_scenario(overrides=(*SMALL, *overrides))
    kind = (s.training.interval, s.training.algorithm)
    if kind not in CALIBRATED:
        near = wfl.load_scenario(overrides=(*SMALL, f"training.interval={kind[0]}", f"training.algorithm={kind[1]}"))
        CALIBRATED[kind] = wfl.measure(wfl.world(near, 0))
    return prepared(s, policy, seed, CALIBRATED[kind])


def records(*overrides, policy="joint", seed=0):
    return [record for _, record in rounds(ready(*overrides, policy=policy, seed=seed))]


@pytest.mark.parametrize("overrides", [
    ("cell.devices=4", "training.interval=2", "channel.csi_error=0.2", "decision.patience=1"),
    ("cell.devices=2", "training.interval=3", "channel.csi_error=0.5", "channel.attempts=1"),
    ("cell.devices=1", "training.interval=3", "channel.csi_error=0.5", "channel.attempts=1"),
    ("cell.devices=4", "training.algorithm=splitfed-v1", "channel.packet_error=0.01", "channel.attempts=1"),
    ("cell.devices=4", "training.algorithm=fsl-sage", "channel.packet_error=0.01", "channel.attempts=1"),
    ("cell.devices=4", "training.algorithm=fedavg", "channel.csi_error=0.2", "decision.patience=1")])
def test_the_clock_counts_what_the_tensors_send_whoever_gets_through(overrides):
    """Round by round, both ways, for those that got through; a lost download is sent again when its device comes back."""
    run = ready("training.rounds=9", *overrides, policy="no-pruning")
    before, lost = begun(run.world), 0
    for now, record in rounds(run, before):
        lost += not record.fate.arrived.all()
        times = transfers(run.world.algorithm, record.round, before.holds)
        if record.fate.arrived.any() and run.world.scenario.training.algorithm != "fsl-sage":    # its cost is a mean over rounds
            options = np.searchsorted(run.world.cuts, record.cut)
            table = run.world.work(times, int(record.who.sum()))[:, :, np.arange(len(options)), options].sum(1)
            table = table @ record.fate.arrived
            assert_allclose(record.uplink_bits, table[1])
            assert_allclose(record.downlink_bits, table[3])
        before = now
    assert lost
    assert record.round == 8


@pytest.mark.parametrize("seed", [0, 1])
def test_a_deep_fade_between_averagings_leaves_a_device_out(seed):
    for where in (("cell.devices=3", "cell.radius_m=2500", "decision.deadline_ms=1500"),
                  ("cell.devices=4", "cell.radius_m=600", "devices.energy_budget_mj=3")):
        ran = records(*where, "training.interval=4", "training.rounds=12", seed=seed)
        assert len(ran) == 12 or ran[-1].advice


@pytest.mark.parametrize("policy", ["joint", "equal-band", "no-pruning", "fixed-split", "equal"])
def test_policies_go_on_with_whom_they_can_serve(policy):
    ran = records("cell.devices=6", "cell.radius_m=1500", "decision.deadline_ms=600", "training.rounds=14", policy=policy)
    assert len(ran) == 14
    assert all(r.status is Status.OPTIMAL for r in ran)
    assert 0 < sum(r.who.sum() for r in ran) < 6 * 14
    assert all(r.latency <= 0.6 * (1 + 1e-9) for r in ran)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_where_nobody_is_there_the_server_waits_for_a_round(seed):
    ran = records("cell.devices=2", "cell.radius_m=2500", "decision.deadline_ms=1500", "training.rounds=20", seed=seed)
    if ran[0].advice:
        assert len(ran) == 1
        return
    assert len(ran) == 20
    for before, r in itertools.pairwise(ran):
        if not r.who.any():
            assert r.status is Status.WAITING
            assert r.latency == 1.5
            assert r.energy == r.uplink_bits == 0
            assert r.accuracy == before.accuracy


def test_decided_once_a_device_comes_back():
    ran = records("cell.devices=6", "cell.radius_m=600", "decision.when=once", "channel.fading=nakagami",
                  "channel.nakagami_m=0.5", "devices.energy_budget_mj=20", "training.rounds=14")
    left_out = np.array([~r.who for r in ran])
    gone = [np.flatnonzero(mine) for mine in left_out.T]
    assert any(len(rounds_out) and rounds_out[0] < 13 and not left_out[-1, k] for k, rounds_out in enumerate(gone))


def test_batteries_and_budgets_are_not_overdrawn_by_sending_again():
    ran = records("cell.devices=4", "channel.csi_error=0.5", "devices.battery_j=0.02", "training.rounds=20")
    spent = np.sum([r.fate.energy for r in ran], axis=0)
    assert np.all(spent <= 0.02 * (1 + 1e-12))
    assert any(r.fate.uplink_outage.any() for r in ran)


def test_who_is_named_is_who_it_is(tmp_path):
    """Devices 0 and 2 have no link; of the others 3 is too far for the deadline."""
    gain = np.array([1e-30, 1e-9, 1e-30, 1e-15])[None, :, None]
    Trace(np.zeros(1), gain).save(tmp_path / "t.npz")
    ran = records("cell.devices=4", "channel.fading=trace", f"channel.trace={tmp_path / 't.npz'}", "decision.deadline_ms=300",
                  "decision.absent=stop")
    assert ran[0].advice.startswith("devices 0, 2 and 3 have")
    ran = records("cell.devices=4", "channel.fading=trace", f"channel.trace={tmp_path / 't.npz'}", "decision.deadline_ms=300",
                  "training.rounds=2")
    assert ran[1].who.tolist() == [False, True, False, False]


def test_without_a_deadline_who_would_take_hours_is_left_out(tmp_path):
    gain = np.array([1e-20, 1e-9, 1e-10])[None, :, None]
    Trace(np.zeros(1), gain).save(tmp_path / "t.npz")
    air = ("cell.devices=3", "channel.fading=trace", f"channel.trace={tmp_path / 't.npz'}", "training.rounds=2")
    assert [r.who.tolist() for r in records(*air)] == [[False, True, True]] * 2
    patient = records(*air, "decision.longest_s=1e9")
    assert patient[0].who.all()
    assert patient[0].latency > 3600


NEAR = ("cell.radius_m=60", "cell.nearest_m=50", "cell.shadowing_db=0", "channel.fading=none", "devices.slowest_gflops=1",
        "devices.fastest_gflops=1", "training.rounds=2", "cell.devices=5")


@pytest.mark.parametrize(("overrides", "policy"), [
    (("cell.bandwidth_mhz=1", "decision.deadline_ms=30"), "equal-band"),
    (("cell.bandwidth_mhz=1", "decision.deadline_ms=30"), "joint"),
    (("cell.bandwidth_mhz=50", "cell.downlink_mhz=0.5", "decision.deadline_ms=45"), "joint")])
def test_as_many_take_part_as_brute_force_finds(overrides, policy):
    """Over all subsets of five devices, who share the server and the downlink with whom there is."""
    run = ready(*NEAR, *overrides, policy=policy)
    first = next(iter(rounds(run)))[1]
    gains, most = run.world.air.start(run.world.rng("fading", 0)).gains, 0
    for who in (np.array(bits, bool) for bits in itertools.product((0, 1), repeat=5)):
        if who.any():
            p = priced(run.world, run.measured, gains, np.ones((5, 2)), who)
            most = max(most, who.sum() * run.decider.decide(p).status.feasible)
    assert 0 < first.who.sum() < 5
    assert first.who.sum() == most


def test_equal_devices_leave_one_by_one(tmp_path):
    Trace(np.zeros(1), np.full((1, 4, 1), 1e-9)).save(tmp_path / "t.npz")
    ran = records("cell.devices=4", "channel.fading=trace", f"channel.trace={tmp_path / 't.npz'}", "devices.slowest_gflops=1",
                  "devices.fastest_gflops=1", "cell.bandwidth_mhz=1", "decision.deadline_ms=40", "training.rounds=1")
    assert 0 < ran[0].who.sum() < 4


def test_a_battery_is_a_budget_before_it_leaves_anybody_out():
    """For each round alone: what a round is worth beforehand is found with full batteries."""
    battery, budget = (records("cell.devices=6", f"devices.{words}", "training.rounds=1", policy="greedy")[0]
                       for words in ("battery_j=0.0015", "energy_budget_mj=1.5"))
    assert battery.who.all()
    assert_allclose(battery.latency, budget.latency, rtol=1e-6)


def test_a_deadline_can_be_kept_in_the_dearest_round_of_an_interval():
    """Or else the device that just fits the others would be left out whenever models are averaged, and never learn."""
    for seed in (0, 1):
        ran = records("cell.devices=1", "channel.fading=none", "training.interval=2", "decision.deadline_ms=12",
                      "cell.radius_m=200", "devices.slowest_gflops=1", "devices.fastest_gflops=1", "training.rounds=4", seed=seed)
        assert all(r.who.all() for r in ran) or ran[0].advice


def test_a_device_that_takes_too_long_is_told_so_also_with_a_budget(tmp_path):
    Trace(np.zeros(1), np.full((1, 1, 1), 1e-20)).save(tmp_path / "t.npz")
    for more in ((), ("decision.absent=stop",), ("devices.energy_budget_mj=5",),
                 ("decision.when=once", "devices.energy_budget_mj=5")):
        ran = records("cell.devices=1", "channel.fading=trace", f"channel.trace={tmp_path / 't.npz'}", *more)
        assert len(ran) == 1
        assert "device 0 has too" in ran[0].advice


def test_the_server_does_not_wait_for_ever(tmp_path):
    gain = np.full((101, 1, 1), 1e-25)
    gain[0] = 1e-9
    Trace(np.arange(101) * 0.02, gain).save(tmp_path / "t.npz")
    ran = records("cell.devices=1", "channel.fading=trace", f"channel.trace={tmp_path / 't.npz'}", "decision.deadline_ms=40",
                  "training.rounds=140", "devices.slowest_gflops=1", "devices.fastest_gflops=1")
    assert [r.status is Status.WAITING for r in ran] == [False, *[True] * 20, False]
    assert "device 0 has too little time" in ran[-1].advice
