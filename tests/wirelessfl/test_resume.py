"""Nothing is lost: a run that was stopped anywhere, and went on, leaves the tables of one that nothing happened to."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import wirelessfl as wfl
from wirelessfl import checkpoint, runs
from wirelessfl.__main__ import main
from wirelessfl.checkpoint import CheckpointError
from wirelessfl.folder import held
from wirelessfl.simulate import prepared, rounds

SMALL = ("cell.devices=3", "training.rounds=8", "training.model=mlp", "decision.pilot_rounds=4", "seeds=2", "data.train=200",
         'decision.policies=["joint", "equal"]', "training.target_accuracy=0.05", "data.test=50")
MOVING = ("cell.mobility=waypoint", "channel.correlation=jakes", "channel.csi_error=0.1", "channel.duplex=fdd",
          "decision.outage=0.1", "channel.packet_error=0.05", "devices.battery_j=0.1")
TABLES = ("rounds.csv", "allocations.csv", "summary.csv", "calibration.json")


class Stopped(Exception):
    """What happens to a run."""


def stop_at(policy, seed, number):
    def watch(record):
        if (record.policy, record.seed, record.round) == (policy, seed, number):
            raise Stopped

    return watch


@pytest.fixture(scope="module")
def scenario():
    return wfl.load_scenario(overrides=SMALL)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory, scenario):
    folder = tmp_path_factory.mktemp("untouched")
    wfl.run(scenario, folder)
    return {name: (folder / name).read_bytes() for name in TABLES}


def test_a_calibration_of_another_version_is_told_before_a_run_goes_on(tmp_path, scenario):
    with pytest.raises(Stopped):
        wfl.run(scenario, tmp_path, watch=stop_at("joint", 0, 1))
    older = json.loads((tmp_path / "calibration.json").read_text())
    del older["misalignment"]
    for text in (json.dumps(older), "{"):
        (tmp_path / "calibration.json").write_text(text)
        with pytest.raises(ValueError, match=r"calibration\.json is no calibration of this version .* delete it"):
            wfl.resume(tmp_path)


@pytest.mark.parametrize(("stop", "every", "first"), [
    (("joint", 0, 0), 3, 0), (("joint", 0, 5), 3, 6), (("equal", 0, 7), 2, 6), (("equal", 1, 3), 1, 4)])
def test_a_run_that_was_stopped_and_goes_on_has_the_same_tables(tmp_path, scenario, untouched, stop, every, first):
    with pytest.raises(Stopped):
        wfl.run(scenario, tmp_path, watch=stop_at(*stop), every=every)
    assert json.loads((tmp_path / "manifest.json").read_text())["ended"] == "interrupted"
    played = []
    wfl.resume(tmp_path, watch=played.append)
    assert next(r for r in played if (r.policy, r.seed) == stop[:2]).round == first
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == untouched[name]
    found = json.loads((tmp_path / "manifest.json").read_text())
    assert found["ended"] == "finished"
    assert len(found["resumed"]) == 1
    assert not (tmp_path / "checkpoints").exists()


def test_a_run_that_is_killed_goes_on(tmp_path, untouched):
    """At any moment, by a signal that nobody can catch, with two workers at their work."""
    command = [sys.executable, "-m", "wirelessfl", "run", *(f"--set={s}" for s in SMALL), "--out", str(tmp_path), "--workers=2"]
    begun = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not any((tmp_path / "checkpoints").glob("*.pt")) and begun.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    if (tmp_path / "checkpoints").exists():                    # it was not quicker than we
        assert main(["run", *(f"--set={s}" for s in SMALL), "--out", str(tmp_path)]) == 2
        assert main(["resume", str(tmp_path), "--workers=1"]) == 0
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == untouched[name]


@pytest.mark.parametrize("algorithm", ["light-fedsl", "fsl-sage", "personalised", "epsl", "splitfed-v2"])
@pytest.mark.parametrize("air", [(), MOVING, ("decision.participation=0.5",)])
def test_every_kind_of_state_goes_through_a_file(tmp_path, algorithm, air):
    """Also those in the middle of an interval, with moments of Adam, moving devices and half-empty batteries."""
    more = ("training.interval=2", "training.update_bits=8") if algorithm == "light-fedsl" else ()
    s = wfl.load_scenario(overrides=(*SMALL, "training.rounds=5", "training.optimiser=adam", "training.lr=0.01", *air, *more,
                                     f"training.algorithm={algorithm}"))
    measured = wfl.measure(wfl.world(s, 0))
    run = prepared(s, "joint", 0, measured)
    straight, path = list(rounds(run)), tmp_path / "here.pt"
    checkpoint.save(path, straight[2][0], {"air": run.world.air})
    other = prepared(s, "joint", 0, measured)
    again = list(rounds(other, checkpoint.load(path, {"air": other.world.air})))
    assert len(again) == 2
    assert [r.test_loss for r in wfl.simulate(s, "joint", 0, measured)] == [r.test_loss for _, r in straight]
    for (_, one), (_, two) in zip(straight[3:], again, strict=True):
        assert one.accuracy == two.accuracy
        assert one.test_loss == two.test_loss
        assert one.elapsed == two.elapsed
        assert one.spent == two.spent
        assert np.array_equal(one.gain, two.gain)
        assert np.array_equal(one.fate.latency, two.fate.latency)
        assert np.array_equal(one.allocation.bandwidth, two.allocation.bandwidth)


def test_a_checkpoint_is_there_whole_or_as_it_was(tmp_path, monkeypatch):
    """A disk that is full in the middle of writing leaves the one before."""
    path = tmp_path / "here.pt"
    checkpoint.save(path, [1, 2], {})

    def full(value, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, [3], {})
    assert checkpoint.load(path, {}) == [1, 2]


@pytest.mark.parametrize("harm", [lambda b: b[:-20], lambda b: b[:10], lambda b: b"", lambda b: b"x" * 100])
def test_a_checkpoint_that_was_cut_gets_a_sentence(tmp_path, harm):
    path = tmp_path / "joint-0.pt"
    checkpoint.save(path, {"a": (1, np.ones(3))}, {})
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"joint-0.pt is no checkpoint that can be read .* its run begins anew"):
        checkpoint.load(path, {})


def test_a_checkpoint_executes_nothing(tmp_path):
    path = tmp_path / "evil.pt"
    for evil in ({"class": "os:system", "fields": {"command": "true"}}, {"class": "wirelessfl.folder:commit", "fields": {}},
                 {"enum": "subprocess:Popen", "name": "x"}):
        torch.save(evil, path)
        with pytest.raises(CheckpointError):
            checkpoint.load(path, {})
    torch.save(Path("anything"), path)
    with pytest.raises(CheckpointError):
        checkpoint.load(path, {})


def test_what_is_no_value_is_not_written(tmp_path):
    with pytest.raises(TypeError, match="a function cannot be written to a checkpoint"):
        checkpoint.save(tmp_path / "no.pt", main, {})


def test_a_run_that_is_finished_has_nothing_to_go_on_with(tmp_path, scenario, capsys):
    wfl.run(wfl.load_scenario(overrides=(*SMALL, "seeds=1", "training.rounds=2")), tmp_path)
    assert main(["resume", str(tmp_path)]) == 2
    assert "is finished: there is nothing to go on with" in capsys.readouterr().err


def test_a_folder_without_a_run_gets_a_sentence(tmp_path, capsys):
    assert main(["resume", str(tmp_path)]) == 2
    assert "holds no run: its manifest.json is missing or broken" in capsys.readouterr().err


def test_a_run_is_not_begun_over_one_that_was_not_finished(tmp_path, scenario):
    with pytest.raises(Stopped):
        wfl.run(scenario, tmp_path, watch=stop_at("joint", 0, 2), every=1)
    with pytest.raises(ValueError, match=r"holds a run that was not finished: `wirelessfl resume"):
        wfl.run(scenario, tmp_path)


def test_a_run_that_somebody_is_doing_is_not_begun_or_gone_on_with(tmp_path, scenario, capsys):
    arguments = [f"--set={s}" for s in SMALL]
    with pytest.raises(Stopped):
        wfl.run(scenario, tmp_path, watch=stop_at("joint", 0, 2), every=1)
    before = (tmp_path / "manifest.json").read_bytes()
    with ThreadPoolExecutor(1) as other, held(tmp_path):
        for command in (["run", *arguments, "--out", str(tmp_path)], ["resume", str(tmp_path)]):
            assert other.submit(main, command).result() == 2
            assert f"{tmp_path} is in use by process {os.getpid()} of " in capsys.readouterr().err
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_a_worker_whose_run_was_killed_writes_nothing_more(tmp_path, scenario, monkeypatch):
    """We are not our own child, so our parent seems to be gone."""
    def leave(status):
        raise Stopped

    monkeypatch.setattr(os, "_exit", leave)
    measured = wfl.measure(wfl.world(scenario, 0))
    with pytest.raises(Stopped):
        runs.one_run(scenario, "equal", 0, measured, tmp_path, 1, parent=os.getpid())
    assert not list(tmp_path.iterdir())
    assert len(runs.one_run(scenario, "equal", 0, measured, tmp_path, 1, parent=os.getppid())) == 8


def test_training_that_diverges_says_when_and_what_to_try():
    measured = wfl.measure(wfl.world(wfl.load_scenario(overrides=SMALL), 0))
    wild = wfl.load_scenario(overrides=(*SMALL, "training.server_lr=1e30"))
    last = list(wfl.simulate(wild, "joint", 0, measured))[-1]
    assert last.round < 7
    assert f"training diverged in round {last.round}: its loss is no finite number; a lower training.lr" in last.advice


@pytest.mark.slow
def test_a_run_that_is_killed_twenty_times_has_the_same_tables(tmp_path, untouched):
    """At random moments, by a signal that nobody can catch; each time it goes on."""
    rng, program = np.random.default_rng(0), [sys.executable, "-m", "wirelessfl"]
    command = [*program, "run", *(f"--set={s}" for s in SMALL), "--out", str(tmp_path), "--workers=2"]
    kills = 0
    while kills < 20 and not (tmp_path / "summary.csv").exists():
        begun = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            begun.wait(rng.uniform(3, 15))
        except subprocess.TimeoutExpired:
            os.killpg(begun.pid, signal.SIGKILL)
            begun.wait()
            kills += 1
        if (tmp_path / "manifest.json").exists():
            command = [*program, "resume", str(tmp_path), "--workers=2"]
    assert kills
    if not (tmp_path / "summary.csv").exists():
        assert main(["resume", str(tmp_path), "--workers=1"]) == 0
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == untouched[name]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_says_in_one_line_how_to_go_on(tmp_path, untouched, workers):
    command = [sys.executable, "-m", "wirelessfl", "run", *(f"--set={s}" for s in SMALL), "--out", str(tmp_path),
               f"--workers={workers}"]
    begun = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not (tmp_path / "calibration.json").exists() and begun.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    begun.send_signal(signal.SIGINT)
    error = begun.communicate(timeout=120)[1]
    if begun.returncode == 0:                                          # it was quicker than we
        return
    assert begun.returncode == 130
    assert error.splitlines()[-1].startswith("wirelessfl: interrupted; `wirelessfl resume")
    assert "Traceback" not in error
    assert main(["resume", str(tmp_path), "--workers=1"]) == 0
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == untouched[name]


def test_a_folder_that_cannot_be_gets_a_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["run", *(f"--set={s}" for s in SMALL), "--out", str(tmp_path / "file" / "run")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("wirelessfl: Not a directory")
    assert str(tmp_path / "file") in error
