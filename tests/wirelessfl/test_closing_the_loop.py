"""From bound to decision to training: every setting of the loop does what its sentence says, and nothing else."""

import json
import re
from dataclasses import asdict, fields, replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import wirelessfl as wfl
from learning.calibrate import GradientLost
from wirelessfl import calibration_file, known
from wirelessfl.__main__ import main
from wirelessfl.config import SettingsError
from wirelessfl.decider import Decider
from wirelessfl.policy import POLICIES
from wirelessfl.prepare import FORECASTS, prepare, renewed
from wirelessfl.simulate import prepared, rounds

SMALL = ("cell.devices=3", "training.rounds=8", "training.model=mlp", "decision.pilot_rounds=4", "data.train=200", "data.test=50",
         "seeds=1", "training.target_accuracy=0.05")
LEVERS = ("decision.update_bits=[8, 32]", "decision.smashed_bits=[4, 8, 32]", "decision.dropouts=[0, 0.5]")
SELDOM = "decision.intervals=[1, 2, 4]"
TABLES = ("rounds.csv", "allocations.csv", "summary.csv", "calibration.json")
TIMES = ["deciding_s", "training_s", "testing_s"]


class Stopped(Exception):
    """What happens to a run."""


def scenario(*more):
    return wfl.load_scenario(overrides=(*SMALL, *more))


@pytest.fixture(scope="module")
def measured():
    """A calibration of all that these tests open."""
    return wfl.measure(wfl.world(scenario(*LEVERS, SELDOM), 0))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The same in a file."""
    return calibration_file.make(scenario(*LEVERS, SELDOM), tmp_path_factory.mktemp("calibration") / "all.json").path


@pytest.fixture
def nobody_measures(monkeypatch):
    def never(w, weights=None):
        raise AssertionError("measured again")

    monkeypatch.setattr(known, "measure", never)


def plans(record):
    return [(cut, ratio, asdict(sent)) for cut, ratio, sent in zip(
        record.cut, record.allocation.ratio, record.compression, strict=True)]


def played(s, measured, policy="joint"):
    return list(wfl.simulate(s, policy, 0, measured))


def forecast(measured, *more, policy="joint"):
    return prepare(POLICIES[policy], wfl.world(scenario(*more), 0), measured)


# the worth of progress

def test_the_typical_worth_is_the_median_over_runs_that_a_rare_fade_does_not_move(measured, monkeypatch):
    """The third of five runs meets a fade that takes an hour; the mean over all would be what that is."""
    sizes, plain = [], Decider.forecast

    def forecast_of(self, sampled):
        sizes.append(sampled.shape[0])
        share, worth = plain(self, sampled)
        return share, worth + 3600.0 * (len(sizes) == 4)

    monkeypatch.setattr("wirelessfl.prepare.RUNS", 5)
    monkeypatch.setattr(Decider, "forecast", forecast_of)
    typical = forecast(measured)
    assert sizes == [FORECASTS] * 6
    assert typical.worth == pytest.approx(forecast(measured, policy="mean").worth, rel=0.3)


def test_the_typical_worth_is_of_the_interval_that_was_chosen(measured):
    w = wfl.world(scenario(SELDOM, "cell.bandwidth_mhz=0.2"), 0)
    typical = prepare(POLICIES["joint"], w, measured)
    assert typical.interval > 1
    assert typical.worth == renewed(typical, w.averaging(typical.interval), measured).worth


def test_where_rounds_have_a_deadline_no_other_worth_is_looked_for(measured):
    late = "decision.deadline_ms=500"
    assert forecast(measured, late).worth == forecast(measured, late, policy="mean").worth


def test_a_run_decides_by_its_worth(measured):
    w = wfl.world(scenario(), 0)
    typical, mean = prepare(POLICIES["joint"], w, measured), prepare(POLICIES["mean"], w, measured)
    p = wfl.problem(w, measured, w.air.mean_gain)
    assert typical.decide(p).deadline == replace(mean, worth=typical.worth).decide(p).deadline
    dear = replace(typical, worth=100 * typical.worth).decide(p)
    assert dear.objective < typical.decide(p).objective


# decision.every

@pytest.mark.parametrize(("more", "stand"), [(("decision.every=3",), 3), (("decision.every=3", "training.interval=2"), 6)])
def test_plans_stand_for_so_many_rounds_and_only_at_averagings_do_they_change(measured, more, stand):
    """Three rounds are no multiple of an interval of two: then plans stand until both end, after six."""
    records = played(scenario(*LEVERS, "cell.bandwidth_mhz=0.5", *more), measured)
    for record in records:
        assert plans(record) == plans(records[record.round // stand * stand])
    assert plans(records[stand]) != plans(records[0])


def test_while_plans_stand_the_band_follows_the_channel(measured):
    """Nobody waits: with the band of the first round some would be late, with a new one all are through together."""
    records = played(scenario(*LEVERS, "decision.every=8"), measured)
    for record in records[1:]:
        assert not np.allclose(record.allocation.bandwidth, records[0].allocation.bandwidth, rtol=1e-3)
        assert_allclose(record.allocation.latency, record.latency, rtol=1e-6)


def test_the_first_of_standing_decisions_is_that_of_deciding_each_round(measured):
    each, seldom = (played(scenario(*LEVERS, f"decision.every={n}"), measured) for n in (1, 4))
    assert plans(each[0]) == plans(seldom[0])
    assert_allclose(each[0].latency, seldom[0].latency, rtol=1e-3)


# decision.recalibrate

def test_what_is_relative_to_the_gradient_is_measured_anew_on_time_and_only_that(measured):
    run = prepared(scenario(*LEVERS, "decision.recalibrate=3", "training.interval=2"), "joint", 0, measured)
    found = [progress.known.measured for progress, _ in rounds(run)]
    assert all(each == measured for each in found[:6])                   # rounds 0 to 5: the next multiple of 2 and 3 is 6
    assert found[6] == found[7]
    changed = {f.name for f in fields(measured) if getattr(found[6], f.name) != getattr(measured, f.name)}
    assert {"bias", "compression_bias", "scale", "ratio_max", "misalignment"} <= changed
    assert changed <= {"bias", "scale", "exponent", "ratio_max", "compression_bias", "drift", "misalignment", "dissimilarity"}


def test_a_new_measurement_is_of_the_model_that_serves(measured):
    run = prepared(scenario(*LEVERS, "decision.recalibrate=2", "training.rounds=3"), "joint", 0, measured)
    (_, _), (before, _), (after, _) = rounds(run)
    (model,) = run.world.algorithm.models(before.state)
    assert after.known.measured.bias == wfl.measure(run.world, model).bias


def test_until_it_is_measured_anew_nothing_is_changed_and_its_time_and_energy_are_not_counted(measured):
    never, anew = (played(scenario("channel.fading=none", "cell.shadowing_db=0", f"decision.recalibrate={n}"), measured)
                   for n in (0, 4))
    for one, other in zip(never[:4], anew[:4], strict=True):
        assert (one.accuracy, one.elapsed, one.spent, plans(one)) == (other.accuracy, other.elapsed, other.spent, plans(other))
    assert [r.elapsed for r in never[4:]] != [r.elapsed for r in anew[4:]]
    assert_allclose(anew[-1].elapsed, sum(r.allocation.latency.max() for r in anew))
    assert_allclose(anew[-1].spent, sum(r.allocation.energy.sum() for r in anew))
    assert sum(r.wall.deciding for r in anew) > sum(r.wall.deciding for r in never)


def test_measuring_anew_never_changes_what_stands(measured):
    records = played(scenario(*LEVERS, "decision.recalibrate=2", "decision.every=8"), measured)
    assert all(plans(record) == plans(records[0]) for record in records)


def test_where_the_gradient_is_lost_in_noise_what_was_known_stays(measured):
    """Models that have learnt their few samples by heart: products of the parts' gradients come out on either side of zero."""
    run = prepared(scenario("data.partition=iid", "training.lr=0.5", "training.rounds=101", "training.evaluate_every=101",
                            "decision.recalibrate=50"), "joint", 0, measured)
    *_, (before, _), (after, _) = rounds(run)
    (model,) = run.world.algorithm.models(before.state)
    with pytest.raises(GradientLost, match="lost in the noise of 64 samples"):
        wfl.measure(run.world, model)
    assert after.known == before.known


# decision.intervals

def test_the_interval_is_chosen_by_who_may_and_client_models_travel_only_then(measured):
    s = scenario(SELDOM, "cell.bandwidth_mhz=0.2", "training.interval=1")        # in a narrow band models are dear
    chosen = {policy: played(s, measured, policy) for policy in ("joint", "fixed-interval", "equal")}
    assert chosen["joint"][0].interval == forecast(measured, SELDOM, "cell.bandwidth_mhz=0.2").interval > 1
    assert {r.interval for policy in ("fixed-interval", "equal") for r in chosen[policy]} == {1}
    records, every = chosen["joint"], chosen["joint"][0].interval
    for record in records:
        first = record.round % every == 0
        assert (record.downlink_bits > records[1].downlink_bits) == first
    assert all(plans(r) == plans(records[r.round // every * every]) for r in records)


def test_an_interval_is_one_of_those_that_were_opened(measured):
    """Also where the training's own is none of them."""
    assert forecast(measured, "decision.intervals=[2, 4]").interval in (2, 4)
    assert forecast(measured, "decision.intervals=[4]", policy="fixed-interval").interval == 1
    assert forecast(measured, "decision.intervals=[4]").interval == 4


@pytest.mark.parametrize("policy", ["joint", "equal-band", "no-pruning"])
def test_where_rounds_have_a_deadline_rare_averaging_saves_no_time(measured, policy):
    """The deadline leaves room for the dearest round, so that all last alike, and drift is a loss for nothing."""
    narrow = "cell.bandwidth_mhz=0.2"
    assert forecast(measured, SELDOM, narrow, policy=policy).interval > 1
    assert forecast(measured, SELDOM, narrow, "decision.deadline_ms=2000", policy=policy).interval == 1


def test_who_takes_part_between_averagings_can_afford_the_averaging(measured):
    """A device that spends its budget on rounds, and is left out of all averagings, would train for nothing."""
    s = scenario("channel.fading=none", "cell.devices=5", "cell.radius_m=400", "devices.energy_budget_mj=0.8",
                 "training.interval=4")
    for record in played(s, measured):
        assert record.who.all()
        assert (record.fate.energy <= 0.8e-3 * (1 + 1e-9)).all()


# decision.update_bits, smashed_bits, dropouts

@pytest.mark.parametrize("opened", [*((each,) for each in LEVERS), (SELDOM,), LEVERS])
def test_who_has_more_options_is_forecast_no_slower(measured, opened):
    assert forecast(measured, *opened).worth <= 1.005 * forecast(measured).worth


def test_the_more_of_its_levers_are_fixed_the_slower_a_policy_is_forecast(measured):
    fixed = ("fixed-split", "fixed-bits", "fixed-dropout", "fixed-interval", "no-pruning", "equal-band")
    worth = {name: forecast(measured, *LEVERS, SELDOM, policy=name).worth for name in ("joint", *fixed, "equal")}
    for name in fixed:
        assert worth["joint"] <= 1.005 * worth[name]
        assert worth[name] <= 1.005 * worth["equal"]


def test_in_a_narrow_band_fewer_bits_are_taken_and_save_time(measured):
    narrow = ("cell.bandwidth_mhz=0.2",)
    free = forecast(measured, *narrow, "decision.smashed_bits=[8, 32]", "decision.update_bits=[8, 32]")
    assert free.worth < 0.7 * forecast(measured, *narrow).worth
    record = next(wfl.simulate(scenario(*narrow, *LEVERS), "joint", 0, measured))
    assert all(sent.smashed_bits < 32 for sent in record.compression)


@pytest.mark.parametrize("policy", ["joint", "fixed-bits", "no-pruning"])
def test_the_bits_that_were_decided_are_the_bits_that_are_sent(measured, policy):
    """The decision's table and the count of the tensors, up to what a kept weight is rounded to."""
    s = scenario(*LEVERS, "training.rounds=3", "cell.bandwidth_mhz=1")
    run = prepared(s, policy, 0, measured)
    for progress, record in rounds(run):
        option = progress.decision.plan.option
        fixed, kept = run.world.work(np.ones((3, 2)), 3)[1][:, np.arange(3), option]
        assert_allclose(record.uplink_bits, np.sum(fixed + (1 - record.allocation.ratio) * kept), rtol=1e-3)


@pytest.mark.parametrize(("policy", "common"), [
    ("fixed-bits", ("update_bits", "smashed_bits")), ("fixed-dropout", ("dropout",)),
    ("equal", ("update_bits", "smashed_bits", "dropout"))])
def test_what_is_fixed_is_one_for_all_devices_and_rounds(measured, policy, common):
    """Already among what the policy has left to choose from."""
    w, chosen = wfl.world(scenario(*LEVERS), 0), forecast(measured, *LEVERS, policy=policy)
    assert len({tuple(getattr(w.options[column].compression, name) for name in common) for column in chosen.columns}) == 1
    records = played(scenario(*LEVERS), measured, policy)
    assert len({tuple(getattr(sent, name) for name in common) for r in records for sent in r.compression}) == 1


def test_what_is_fixed_is_the_best_by_the_deadline_that_there_is(measured):
    """With no deadline few bits are best, for rounds are short; by a late one all get through, and floats lose nothing."""
    narrow, opened = "cell.bandwidth_mhz=0.2", "decision.smashed_bits=[8, 32]"
    w = wfl.world(scenario(opened, narrow), 0)
    for late, bits in (((), 8), (("decision.deadline_ms=20000",), 32)):
        columns = forecast(measured, opened, narrow, *late, policy="fixed-bits").columns
        assert {w.options[column].compression.smashed_bits for column in columns} == {bits}


def test_a_deadline_that_no_channel_allows_for_all_leaves_what_is_best_without_one(measured):
    """Devices are then left out, round by round."""
    narrow, opened = "cell.bandwidth_mhz=0.2", "decision.smashed_bits=[8, 32]"
    free, tight = (forecast(measured, opened, narrow, f"decision.deadline_ms={ms}", policy="equal") for ms in (0, 1))
    assert tight.columns == free.columns


def test_decided_once_the_compression_stays_too(measured):
    records = played(scenario(*LEVERS, "decision.when=once"), measured)
    assert all(plans(record) == plans(records[0]) for record in records)


# decision.calibration

def test_one_decision_rests_on_the_file_that_its_scenario_names(file, nobody_measures, capsys):
    named = (*SMALL, *LEVERS, SELDOM, f"decision.calibration={file}")
    assert main(["solve", *(f"--set={each}" for each in named)]) == 0
    assert "certified over all splits" in capsys.readouterr().out


def test_a_file_serves_instead_of_a_pilot_and_gives_the_same_run(file, measured, nobody_measures):
    s = scenario(*LEVERS, SELDOM, f"decision.calibration={file}", "training.rounds=3")
    for one, other in zip(wfl.simulate(s, "joint", 0), played(s, measured), strict=True):
        assert (one.accuracy, one.elapsed, one.spent, plans(one)) == (other.accuracy, other.elapsed, other.spent, plans(other))


def test_a_file_of_the_first_seed_serves_all_seeds(file, nobody_measures):
    s = scenario(*LEVERS, SELDOM, f"decision.calibration={file}", "training.rounds=1", "seeds=2")
    assert next(wfl.simulate(s, "joint", 1)).status.feasible


def test_a_file_that_was_made_for_other_options_is_refused_by_their_name(file):
    with pytest.raises(SettingsError, match=r"for something else: decision\.smashed_bits is \[4, 8, 32\] there and \[2\] here"):
        next(wfl.simulate(scenario(*LEVERS, SELDOM, "decision.smashed_bits=[2]", f"decision.calibration={file}"), "joint"))


def test_the_exponent_of_the_file_is_taken_where_none_is_named(file, tmp_path):
    found, path = json.loads(file.read_text()), tmp_path / "fitted.json"
    path.write_text(json.dumps(found | {"exponent": {"gamma": 0.4, "error": 0.1}}))
    s = scenario(*LEVERS, SELDOM, f"decision.calibration={path}", "decision.exponent=0")
    assert prepared(s, "joint", 0).decider.exponent == 0.4


def test_the_memory_of_the_file_is_taken_where_it_is_named_as_zero(file, tmp_path):
    found, path = json.loads(file.read_text()), tmp_path / "fitted.json"
    path.write_text(json.dumps(found | {"memory": {"memory": 4.5, "exponent": 1.0}}))
    s = scenario(*LEVERS, SELDOM, f"decision.calibration={path}", "decision.memory=0")
    assert prepared(s, "joint", 0).decider.memory == 4.5
    assert prepared(scenario(*LEVERS, SELDOM, f"decision.calibration={path}"), "joint", 0).decider.memory == 1


def test_a_memory_that_was_fitted_with_another_exponent_is_refused(file, tmp_path):
    found, path = json.loads(file.read_text()), tmp_path / "fitted.json"
    path.write_text(json.dumps(found | {"memory": {"memory": 4.5, "exponent": 1.0}}))
    s = scenario(*LEVERS, SELDOM, f"decision.calibration={path}", "decision.memory=0", "decision.exponent=0.5")
    with pytest.raises(SettingsError, match=r"fitted with decision\.exponent 1, and is to serve 0\.5: `wirelessfl calibrate"):
        wfl.run(s, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# bad values

@pytest.mark.parametrize(("settings", "says"), [
    (["decision.smashed_bits=[0]"], r"decision\.smashed_bits: smashed_bits must be between 1 and 16, or 32 .*\[bit\], got 0"),
    (["decision.update_bits=[20]"], r"decision\.update_bits: update_bits must be between 1 and 16, .*\[bit\], got 20"),
    (["decision.dropouts=[1.0]"], r"decision\.dropouts: dropout must be within \[0, 1\) \[1\], got 1\.0"),
    (["decision.intervals=[0]"], r"decision\.intervals .*rounds between.*: input should be greater than or equal to 1, got 0"),
    (["decision.every=0"], r"decision\.every .*: input should be greater than or equal to 1, got 0"),
    (["decision.recalibrate=-1"], r"decision\.recalibrate .*: input should be greater than or equal to 0, got -1"),
    (["decision.smashed_bits=[8]", "training.algorithm=psl"], "psl has no use for smashed_bits"),
    (["decision.dropouts=[0.5]", "training.algorithm=fedavg"], "fedavg has no use for dropouts"),
    (["decision.intervals=[2]", "training.algorithm=epsl"], "epsl has no use for intervals"),
    (["decision.calibration=nowhere.json"], r"nowhere\.json holds no calibration"),
    (["decision.exponent=0"], r"decision\.exponent is 0, .* names no file with a fitted one .*: got ''"),
    (["decision.memory=0"], r"decision\.memory is 0, .*no file with a fitted one .`wirelessfl calibrate --memory`.*: got ''"),
    (["decision.memory=0.5"], r"decision\.memory must be 1 or more, .* or 0 .*\[rounds\], got 0\.5"),
])
def test_a_bad_value_is_one_sentence_before_any_work(tmp_path, capsys, nobody_measures, settings, says):
    assert main(["run", *(f"--set={each}" for each in (*SMALL, *settings)), "--out", str(tmp_path / "run")]) == 2
    assert re.search(rf"^wirelessfl: .*{says}", capsys.readouterr().err.strip())
    assert not (tmp_path / "run").exists()


# tables, timing and going on

ALL_ON = (*LEVERS, SELDOM, "decision.every=4", "decision.recalibrate=4", 'decision.policies=["joint", "online", "equal"]',
          "training.evaluate_every=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, file):
    where = tmp_path_factory.mktemp("untouched")
    wfl.run(scenario(*ALL_ON, f"decision.calibration={file}"), where)
    return where


@pytest.mark.parametrize(("policy", "number", "every"), [("joint", 5, 3), ("online", 4, 2)])
def test_a_run_with_all_of_it_goes_on_to_the_same_bytes(folder, file, tmp_path, policy, number, every):
    def watch(record):
        if (record.policy, record.round) == (policy, number):
            raise Stopped

    with pytest.raises(Stopped):
        wfl.run(scenario(*ALL_ON, f"decision.calibration={file}"), tmp_path, watch=watch, every=every)
    wfl.resume(tmp_path)
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert pd.read_csv(tmp_path / "timing.csv")["rounds"].tolist() == [8, 8, 8]        # those before the stop are counted


def test_a_run_goes_on_with_the_calibration_the_exponent_and_the_memory_that_it_began_with(file, tmp_path):
    """Whatever has become of the file."""
    fitted, whole, part = tmp_path / "fitted.json", tmp_path / "whole", tmp_path / "part"
    fitted.write_text(json.dumps(json.loads(file.read_text()) | {
        "exponent": {"gamma": 0.4, "error": 0.1}, "memory": {"memory": 2.5, "exponent": 0.4}}))
    s = scenario(*LEVERS, SELDOM, f"decision.calibration={fitted}", "decision.exponent=0", "decision.memory=0",
                 'decision.policies=["joint"]')

    def watch(record):
        raise Stopped

    wfl.run(s, whole)
    with pytest.raises(Stopped):
        wfl.run(s, part, watch=watch)
    fitted.unlink()
    wfl.resume(part)
    for name in TABLES:
        assert (part / name).read_bytes() == (whole / name).read_bytes()


def test_the_tables_say_what_each_device_sends_and_how_seldom_it_is_averaged(folder):
    devices, every = pd.read_csv(folder / "allocations.csv"), pd.read_csv(folder / "rounds.csv")
    assert set(devices["update_bits"]) <= {8, 32}
    assert set(devices["smashed_bits"]) <= {4, 8, 32}
    assert set(devices["dropout"]) <= {0.0, 0.5}
    assert set(every["interval"]) <= {1, 2, 4}
    assert every.groupby("policy")["interval"].nunique().eq(1).all()
    standing = devices.assign(block=devices["round"] // 4).groupby(["policy", "device", "block"])
    assert standing[["update_bits", "smashed_bits", "dropout", "split"]].nunique().eq(1).all(axis=None)


def test_where_the_time_of_this_computer_went_is_a_table_of_its_own(folder):
    """In it, and in no table that is the same whenever it is made."""
    times, manifest = pd.read_csv(folder / "timing.csv"), json.loads((folder / "manifest.json").read_text())
    assert list(times.columns) == ["policy", "seed", "rounds", *TIMES]
    assert times["policy"].tolist() == ["joint", "online", "equal"]
    assert (times[TIMES] > 0).all(axis=None)
    assert times[TIMES].sum(axis=None) <= manifest["wall_time_s"] + 0.01
    assert not set(TIMES) & {column for name in TABLES[:3] for column in pd.read_csv(folder / name).columns}
