"""Calibrations in files: measured once, refused where they are of something else, never half there."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from matplotlib.image import imread

import wirelessfl as wfl
from learning.turnout import drawn
from optim.absence import fit_memory
from wirelessfl import calibration_file
from wirelessfl.__main__ import main
from wirelessfl.calibration_file import fingerprints, key, load, make, read
from wirelessfl.config import SettingsError
from wirelessfl.pricing import constants

SMALL = ("cell.devices=3", "training.model=mlp", "decision.pilot_rounds=3", "data.train=200", "data.test=50")


def scenario(*more):
    return wfl.load_scenario(overrides=[*SMALL, *more])


def world(*more):
    s = scenario(*more)
    return wfl.world(s, s.seed)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One calibration that tests may read, not change."""
    return make(scenario(), tmp_path_factory.mktemp("made") / "small.json")


@pytest.fixture
def nobody_measures(monkeypatch):
    def never(w):
        raise AssertionError("measured again")

    monkeypatch.setattr(calibration_file, "measure", never)


def test_a_file_says_what_it_is_how_it_was_made_and_holds_what_was_measured(made):
    found = json.loads(made.path.read_text())
    assert found["kind"] == "wirelessfl calibration"
    assert {"key", "made_at", "versions", "commit", "settings", "calibration"} <= found.keys()
    assert found["versions"]["numpy"] == np.__version__
    assert load(made.path, world()) == made.measured == wfl.measure(world())
    assert imread(made.picture).shape[0] > 400


def test_what_a_file_holds_already_is_not_measured_again(made, nobody_measures):
    before = made.path.read_bytes()
    again = make(scenario(), made.path)
    assert (again.fresh, again.measured, again.path.read_bytes()) == (False, made.measured, before)


@pytest.mark.parametrize("setting", [
    "cell.bandwidth_mhz=1", "channel.fading=none", 'decision.policies=["equal"]', "seeds=2", "training.rounds=9",
    "devices.slowest_gflops=0.5", "decision.prune_max=0.5", "decision.exponent=0.3", "training.evaluate_every=3",
    "name=other", "decision.splits=[1, 2, 3]"])
def test_the_key_stands_whatever_a_pilot_does_not_see(made, nobody_measures, setting):
    """Also where all splits are named that are there without a name."""
    assert key(fingerprints(world(setting))) == made.key
    assert load(made.path, world(setting)) == made.measured


@pytest.mark.parametrize("setting", [
    "seed=1", "cell.devices=4", "training.lr=0.05", "training.batch=16", "training.model=cnn", "decision.pilot_rounds=4",
    "decision.bias_max=0.5", "decision.splits=[1]", "training.update_bits=8", "training.pruned=random", "training.interval=2",
    "data.concentration=0.3", "data.train=190", "training.precision=bfloat16", "training.algorithm=fedavg"])
def test_the_key_changes_with_what_a_pilot_sees_and_the_file_is_refused_by_its_name(made, setting):
    assert key(fingerprints(world(setting))) != made.key
    name, _, value = setting.partition("=")
    with pytest.raises(SettingsError, match=rf"small.json is for something else: .*{name} is .* there and .*{value.strip('[]')}"):
        load(made.path, world(setting))


def test_a_world_of_another_seed_is_refused(made):
    s = scenario()
    with pytest.raises(SettingsError, match="other initial weights; other data; other draws; `wirelessfl calibrate` measures"):
        load(made.path, wfl.world(s, s.seed + 1))


def test_a_file_from_before_a_setting_was_there_is_refused(made, tmp_path):
    found, path = json.loads(made.path.read_text()), tmp_path / "old.json"
    path.write_text(json.dumps(found | {"key": "of old", "of": found["of"] | {"settings": "of old"}}))
    with pytest.raises(SettingsError, match=r"old\.json is for something else: settings of another version"):
        load(path, world())


def test_without_a_name_a_file_is_called_by_scenario_and_key(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calibration_file, "measure", lambda w: made.measured)
    found = make(scenario())
    assert found.path.as_posix() == f"calibrations/default-{made.key[:10]}.json"
    assert found.picture.exists()


def test_a_file_of_other_settings_is_measured_anew_and_replaced(made, tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(made.path.read_bytes())
    found = make(scenario("decision.pilot_rounds=4"), path)
    assert (found.fresh, found.measured.rounds, read(path)["key"]) == (True, 4, found.key)


@pytest.mark.parametrize(("content", "why"), [
    (None, "No such file"), ("{", "JSONDecodeError"), ("[1]", "TypeError"), ('{"settings": {}}', "KeyError"),
    ('{"kind": "wirelessfl calibration", "format": 0}', "ValueError")])
def test_what_is_no_calibration_is_refused_in_a_sentence(tmp_path, content, why):
    path = tmp_path / "thing.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=f"thing.json holds no calibration of this version .{why}"):
        load(path, world())


def test_another_kind_of_file_is_not_replaced(tmp_path, capsys):
    path = tmp_path / "notes.json"
    path.write_text('{"dear": "diary"}')
    assert main(["calibrate", *(f"--set={s}" for s in SMALL), "--out", str(path)]) == 2
    assert "notes.json holds no calibration" in capsys.readouterr().err
    assert path.read_text() == '{"dear": "diary"}'


KILLED = """
import os, signal, sys
from wirelessfl.__main__ import main
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
main(["calibrate", "--out", *sys.argv[1:]])
"""


def test_a_kill_in_the_midst_of_writing_leaves_the_old_file(made, tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(made.path.read_bytes())
    settings = [f"--set={s}" for s in (*SMALL, "decision.pilot_rounds=4")]
    assert subprocess.run([sys.executable, "-c", KILLED, str(path), *settings]).returncode == -signal.SIGKILL
    assert load(path, world()) == made.measured
    assert make(scenario(), path).fresh is False


def test_a_picture_that_is_missing_is_drawn_from_the_file(made, tmp_path, nobody_measures):
    path = tmp_path / "mine.json"
    path.write_bytes(made.path.read_bytes())
    assert make(scenario(), path).picture.exists()


def test_the_command_measures_says_so_and_the_second_time_finds(tmp_path, capsys):
    command = ["calibrate", *(f"--set={s}" for s in SMALL), "--out", str(tmp_path / "deep" / "c.json")]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert "measured now" in first
    assert f"calibration: {tmp_path / 'deep' / 'c.json'}" in first
    assert "relative bias [1] of pruning" in first
    assert main(command) == 0
    second = capsys.readouterr().out
    assert "nothing was measured" in second
    assert first.splitlines()[1:] == second.splitlines()[1:]


def test_the_exponent_is_added_to_what_is_there_and_stays(made, tmp_path, nobody_measures, capsys):
    path = tmp_path / "mine.json"
    path.write_bytes(made.path.read_bytes())
    assert main(["calibrate", *(f"--set={s}" for s in SMALL), "--out", str(path), "--exponent"]) == 0
    assert "exponent gamma" in capsys.readouterr().out
    found = read(path)["exponent"]
    assert set(found["bias"]) <= {0.25, 0.5, 0.7}
    assert len(found["bias"]) == len(found["rounds"]) == len(found["loss"]) > 0
    assert make(scenario(), path).exponent == found
    assert asdict(load(path, world())) == asdict(made.measured)


def test_the_memory_is_added_to_what_is_there_and_stays_as_long_as_the_exponent_is_the_same(made, tmp_path, nobody_measures,
                                                                                            capsys):
    path = tmp_path / "mine.json"
    path.write_bytes(made.path.read_bytes())
    assert main(["calibrate", *(f"--set={s}" for s in SMALL), "--out", str(path), "--memory"]) == 0
    assert "memory H" in capsys.readouterr().out
    found = read(path)["memory"]
    assert found["number"] == [1.0, 1.0, 1.0]                                   # a tenth and a fifth of three devices
    assert len(found["rounds"]) == len(found["single"]) == len(found["expected"]) == 3
    s, w = scenario(), world()
    sets = [drawn(np.ones(3, bool), 1, 12, w.rng("forecast", 1, draw))[:ran] for draw, ran in enumerate(found["ran"])]
    took = [np.inf if rounds is None else rounds for rounds in found["rounds"]]
    assert found["memory"] == fit_memory(constants(w, made.measured), w.weights, sets, took, s.decision.pilot_rounds)
    assert make(scenario(), path, memory=True).memory == found
    assert make(scenario("decision.exponent=0.5"), path, memory=True).memory["exponent"] == 0.5
    assert asdict(load(path, world())) == asdict(made.measured)


def test_the_memory_of_one_device_is_refused_before_any_work(tmp_path, nobody_measures):
    with pytest.raises(SettingsError, match=r"--memory takes .*: two or more must have some, got 1"):
        make(scenario("cell.devices=1"), tmp_path / "one.json", memory=True)


def test_a_memory_without_an_exponent_is_refused_before_any_work(tmp_path, nobody_measures):
    with pytest.raises(SettingsError, match=r"decision\.exponent above 0 \[1\], or --exponent, too; got 0"):
        make(scenario("decision.exponent=0"), tmp_path / "none.json", memory=True)


def test_a_file_from_before_there_were_memories_is_read(made, tmp_path):
    found, path = json.loads(made.path.read_text()), tmp_path / "old.json"
    del found["memory"]
    path.write_text(json.dumps(found))
    assert read(path)["memory"] is None
    assert make(scenario(), path).memory is None


def test_the_exponent_of_who_does_not_prune_is_refused_before_any_work(tmp_path, nobody_measures):
    with pytest.raises(SettingsError, match=r"training\.algorithm psl does not prune"):
        make(scenario("training.algorithm=psl"), tmp_path / "psl.json", exponent=True)


def test_a_wrong_setting_of_the_command_is_one_sentence(capsys):
    assert main(["calibrate", "--set=training.model=cn"]) == 2
    assert "did you mean" in capsys.readouterr().err
