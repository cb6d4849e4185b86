import doctest
import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

import wirelessfl
from wirelessfl import experiment, runs
from wirelessfl.__main__ import main
from wirelessfl.build import check
from wirelessfl.closing import alike
from wirelessfl.config import SettingsError
from wirelessfl.plot import latency_accuracy
from wirelessfl.record import Record
from wirelessfl.settings import Scenario

SMALL = [f"--set={s}" for s in ("cell.devices=3", "training.rounds=3", "training.model=mlp", "decision.pilot_rounds=4", "seeds=2",
                                'decision.policies=["joint", "equal"]', "training.target_accuracy=0.05")]
TABLES = ("rounds.csv", "allocations.csv", "summary.csv", "calibration.json")


def load(arguments):
    """The scenario of a command line."""
    return wirelessfl.load_scenario(overrides=[each.removeprefix("--set=") for each in arguments if each.startswith("--set=")])


def test_the_example_of_the_front_page_runs():
    assert doctest.testmod(wirelessfl).failed == 0


def test_a_run_leaves_tables_a_manifest_and_pictures(tmp_path, capsys):
    assert main(["run", *SMALL, "--workers=1", "--out", str(tmp_path / "run")]) == 0
    rounds, devices = (pd.read_csv(tmp_path / "run" / f"{name}.csv") for name in ("rounds", "allocations"))
    assert len(rounds) == 2 * 2 * 3
    assert len(devices) == len(rounds) * 3
    assert not rounds.isna().any(axis=None)
    assert not devices.isna().any(axis=None)
    total = devices.groupby(["policy", "seed", "round"])["bandwidth_hz"].sum()
    assert np.all(total <= 4e6 * (1 + 1e-9))
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["ended"] == "finished"
    assert manifest["seeds"] == [0, 1]
    assert Scenario.model_validate(manifest["settings"]).cell.devices == 3
    assert manifest["versions"]["numpy"] == np.__version__
    assert {"commit", "wall_time_s"} <= manifest.keys()
    for name in ("latency-accuracy.png", "allocation.png"):
        assert imread(tmp_path / "run" / name).shape[0] > 400
    printed = capsys.readouterr().out
    assert "time / joint" in printed
    assert "2/2" in printed


def test_tables_are_the_same_byte_for_byte_whatever_the_workers(tmp_path):
    calls = {"one": ["--workers=1"], "two": ["--workers=2"], "many": ["--workers=9"], "other": ["--workers=1", "--set=seed=7"]}
    for name, more in calls.items():
        assert main(["run", *SMALL, *more, "--out", str(tmp_path / name)]) == 0
    for table in TABLES:
        one, two, many, other = ((tmp_path / name / table).read_bytes() for name in calls)
        assert one == two == many
        assert one != other


@pytest.mark.parametrize(("setting", "said"), [("channel.fading=rayleigh", True), ("channel.fading=none", False)])
def test_the_coherence_time_is_told_where_gains_change(tmp_path, capsys, setting, said):
    assert main(["run", *SMALL, "--set=seeds=1", f"--set={setting}", "--workers=1", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "ms in the median" in printed
    assert ("the coherence time" in printed) == said
    assert "inf" not in printed


def test_a_run_is_checked_once_on_the_command_line(tmp_path, monkeypatch):
    """And where it is resumed: data are loaded for the check, and once more for each run in its own world."""
    asked = []
    monkeypatch.setattr(experiment.build, "check", lambda s: asked.append(s) or check(s))
    with monkeypatch.context() as stopping:
        stopping.setattr(runs, "one_run", lambda *a, **k: sys.exit("stopped"))
        with pytest.raises(SystemExit):
            main(["run", *SMALL, "--workers=1", "--out", str(tmp_path)])
    assert len(asked) == 1
    assert main(["resume", str(tmp_path), "--workers=1"]) == 0
    assert len(asked) == 2


def test_a_finished_run_of_other_settings_is_left_as_it_is(tmp_path, capsys):
    """The same settings are run again, in its place."""
    mine = [*SMALL, "--set=seeds=1", "--workers=1", "--out", str(tmp_path)]
    assert main(["run", *mine]) == 0
    left = {name: (tmp_path / name).read_bytes() for name in (*TABLES, "manifest.json")}
    assert main(["run", *mine, "--set=cell.bandwidth_mhz=2", "--set=seed=1"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{tmp_path} holds a finished run with other settings (seed, cell.bandwidth_mhz): take another folder (--out)" in said
    with pytest.raises(SettingsError, match=r"with other settings \(seeds\)"):
        wirelessfl.run(load([*mine, "--set=seeds=2"]), tmp_path)
    assert left == {name: (tmp_path / name).read_bytes() for name in left}
    assert main(["run", *mine]) == 0
    assert {name: (tmp_path / name).read_bytes() for name in TABLES} == {name: left[name] for name in TABLES}


def test_a_finished_run_of_another_version_is_left_as_it_is(tmp_path):
    """Its manifest names a setting that there is no more."""
    wirelessfl.run(load([*SMALL, "--set=seeds=1"]), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["settings"]["cell"]["colour"] = "red"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SettingsError, match="holds a finished run with other settings"):
        wirelessfl.run(load([*SMALL, "--set=seeds=1"]), tmp_path)


def test_before_a_pilot_one_line_says_so_where_progress_goes(tmp_path, capsys):
    """And where nothing is measured, because a file has it, nobody says that it is."""
    told, mine = "measuring the bound's constants along a pilot of 4 rounds", [*SMALL, "--set=seeds=1"]
    file = tmp_path / "c.json"
    assert main(["calibrate", *mine, "--out", str(file)]) == 0
    capsys.readouterr()
    for command, out in (("run", ["--workers=1", "--out"]), ("solve", [])):
        for number, known in enumerate(([], [f"--set=decision.calibration={file}"])):
            assert main([command, *mine, *known, *out, *[str(tmp_path / f"{number}")] * len(out[:1])]) == 0
            printed = capsys.readouterr()
            assert printed.err.count(told) == (not known)
            assert told not in printed.out


def test_what_was_finished_is_kept_when_something_fails(tmp_path, monkeypatch):
    def fail(record: Record):
        if record.seed == 1:
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        wirelessfl.run(load(SMALL), tmp_path, watch=fail)
    assert set(pd.read_csv(tmp_path / "rounds.csv")["seed"]) == {0}
    assert json.loads((tmp_path / "manifest.json").read_text())["ended"] == "interrupted"


def test_solve_prints_a_row_a_device_and_the_grades(capsys):
    assert main(["solve", *SMALL]) == 0
    printed = capsys.readouterr().out
    assert len([line for line in printed.splitlines() if line.strip()[:1].isdigit()]) == 3
    for word in ("split", "pruned", "band", "power", "latency", "energy", "objective", "price", "gap", "residual", "optimal"):
        assert word in printed


@pytest.mark.parametrize(("setting", "sentence"), [
    ("decision.deadline_ms=0.001", "allow at least"), ("devices.energy_budget_mj=0.00001", "too small an energy budget"),
    ("cell.bandwidth_mhz=1e-3", "")])
def test_an_infeasible_scenario_ends_with_a_cure(capsys, setting, sentence):
    status = main(["solve", *SMALL, f"--set={setting}"])
    printed = capsys.readouterr().out
    assert status == (1 if sentence else 0)           # without a deadline a narrow band only takes long
    assert sentence in printed


@pytest.mark.parametrize("policy", ["equal-band", "no-pruning", "fixed-split"])
def test_a_policy_is_advised_on_what_it_may_decide(capsys, policy):
    """What it is told to allow is enough for it, and no less would be."""
    mine = [*SMALL[:-2], f'--set=decision.policies=["{policy}"]', "--set=decision.absent=stop"]
    assert main(["solve", *mine, "--set=decision.deadline_ms=5"]) == 1
    enough = float(capsys.readouterr().out.split("allow at least ")[1].split(" s")[0])
    assert main(["solve", *mine, f"--set=decision.deadline_ms={1e3 * enough * 1.01}"]) == 0
    assert main(["solve", *mine, f"--set=decision.deadline_ms={1e3 * enough * 0.99}"]) == 1


def test_a_run_that_ends_early_says_why(tmp_path, capsys):
    assert main(["run", *SMALL, "--workers=1", "--out", str(tmp_path), "--set=devices.energy_budget_mj=0.00001"]) == 1
    assert "joint seed 0 ended early: devices 0, 1 and 2 have too small an energy budget" in capsys.readouterr().out


def test_of_a_run_without_any_round_no_number_is_told(tmp_path, capsys):
    assert main(["run", *SMALL, "--workers=1", "--out", str(tmp_path), "--set=decision.deadline_ms=0.001"]) == 1
    printed = capsys.readouterr()
    assert "nan" not in printed.out
    assert "a round took" not in printed.out
    assert "made the same decisions" not in printed.out
    assert "accuracy" not in printed.err
    rows = [line.split() for line in printed.out.splitlines() if line.split()[:1] in (["joint"], ["equal"])]
    assert [row[2:] for row in rows if row[1] == "0/2"] == [["-"] * 5] * 2
    assert main(["report", str(tmp_path)]) == 0
    assert "<td>nan" not in (tmp_path / "report.html").read_text()


def test_policies_that_differ_in_nothing_are_named(tmp_path, capsys):
    """A device of psl has one split at all times and prunes nothing; the band is shared out by joint and not by equal."""
    mine = [*SMALL, "--set=training.algorithm=psl", "--set=seeds=2", "--workers=1", "--out"]
    names = 'decision.policies=["joint", "equal", "no-pruning", "random", "fixed-split"]'
    assert main(["run", *mine, str(tmp_path / "many"), f"--set={names}"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "the same decisions" in line]
    assert said == ["no-pruning, random and fixed-split made the same decisions as joint in every round"]
    assert main(["run", *mine, str(tmp_path / "two")]) == 0
    assert "the same decisions" not in capsys.readouterr().out


def test_decisions_that_differ_by_rounding_are_the_same_and_by_more_are_not():
    same = {"seed": 0, "accuracy": np.nan, "latency_s": 1.0, "uplink_bits": 8, "downlink_bits": 8, "left_out": 0}
    spent = {"a": 1.0, "b": 1 + 1e-15, "c": 1.001, "d": 1.001}
    rounds = pd.DataFrame([same | {"policy": policy, "round": number, "energy_j": energy}
                           for policy, energy in spent.items() for number in range(2)])
    assert alike(rounds) == "b made the same decisions as a in every round; d made the same decisions as c in every round"
    assert alike(rounds[:-1]) == "b made the same decisions as a in every round"


def test_the_picture_says_what_becomes_of_runs_that_have_ended(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **how: drawn.append(figure))
    rounds = pd.DataFrame({"policy": "a", "seed": [0, 0, 1], "elapsed_s": [1.0, 2.0, 1.0], "accuracy": [0.2, 0.4, 0.3]})
    latency_accuracy(rounds, pd.DataFrame({"policy": ["a"], "time_s": [2.0]}), 0.4, 1, tmp_path / "it.png")
    assert "runs that have ended keep their last accuracy" in drawn[0].axes[0].get_xlabel()


def test_a_pilot_that_diverges_gets_a_sentence(capsys):
    assert main(["solve", *SMALL, "--set=training.lr=1e6"]) == 2
    assert "the pilot run diverged" in capsys.readouterr().err


def test_a_bad_setting_ends_with_status_2_and_one_line(capsys):
    assert main(["solve", "--set=cell.devcies=3"]) == 2
    error = capsys.readouterr().err
    assert error == "wirelessfl: unknown setting cell.devcies; did you mean cell.devices?\n"


def test_scenario_prints_toml(capsys):
    assert main(["scenario", "--set=cell.devices=7"]) == 0
    assert "devices = 7  # number of devices" in capsys.readouterr().out


def test_solve_shows_what_compresses_where_there_was_a_choice(capsys):
    assert main(["solve", *SMALL]) == 0
    assert "bits [bit]" not in capsys.readouterr().out
    assert main(["solve", *SMALL, "--set=decision.smashed_bits=[4]", "--set=decision.dropouts=[0.5]",
                 "--set=decision.intervals=[2]"]) == 0
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    header = next(line for line in printed.splitlines() if "split [blocks]" in line)
    assert "smashed bits [bit]" in header
    assert "dropout [1]" in header
    assert "update bits" not in header
    rows = [line for line in lines if line and line[0].isdigit()]
    assert len(rows) == 3
    assert all(row[4:6] == ["4", "0.5"] for row in rows)
    assert "averaged every 2 rounds" in printed


def test_solve_says_who_is_left_out_and_why(capsys):
    assert main(["solve", *SMALL[:-2], "--set=decision.deadline_ms=5"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"left out  \[1, 2\], for [\d.]+ of a round's progress; with everyone there is no decision: ", printed)
    assert "allow at least" in printed


def test_solve_says_who_sits_out_and_how_long_all_would_take(capsys):
    assert main(["solve", *SMALL, "--set=decision.participation=0"]) == 0
    printed = capsys.readouterr().out
    told = re.search(r"sit out   \[(.+)\], for (0\.\d+) of a round's progress; with everyone it would take ([\d.]+) ms", printed)
    lasts = re.search(r"round +([\d.]+) ms", printed)
    assert "of a round's progress is lost by the bound among those who take part\n" in printed
    rows = [line for line in printed.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    assert len(rows) == 3 - len(told[1].split(","))
    assert float(lasts[1]) < float(told[3])
