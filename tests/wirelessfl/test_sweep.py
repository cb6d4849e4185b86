"""A sweep's table is the same whoever does the runs, where, in how many goes, and whatever becomes of other runs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wirelessfl as wfl
from wirelessfl import places
from wirelessfl.__main__ import main
from wirelessfl.folder import held
from wirelessfl.places import Outcome
from wirelessfl.sweep import sweep
from wirelessfl.sweep_file import EXAMPLE, read_sweep

SET = """
[set]
seeds = 2
cell.devices = 3
training = {rounds = 2, model = "mlp", target_accuracy = 0.05}
data = {train = 100, test = 50}
decision = {pilot_rounds = 4, policies = ["equal"]}
"""
BANDS = SET + """
[grid]
"cell.bandwidth_mhz" = [2, 4]
"""
RATES = SET.replace("seeds = 2", "seeds = 1") + """
[grid]
"training.lr" = [0.05, 1e6, 0.1]
"""


def write(path, text):
    path.write_text(text)
    return path


def written(folder):
    return (folder / "manifest.json").stat().st_mtime_ns


@pytest.fixture(scope="module", autouse=True)
def without_pictures():
    """They take half of the time of a run so small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wirelessfl.plot.latency_accuracy", lambda *what: None)
        patch.setattr("wirelessfl.plot.allocation", lambda *what: None)
        patch.setattr("wirelessfl.experiment.partition_picture", lambda *what: None)
        yield


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write(tmp_path_factory.mktemp("sweep") / "bands.toml", BANDS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, file):
    """The table of a sweep to which nothing happens, in one process."""
    folder = tmp_path_factory.mktemp("plain")
    sweep(read_sweep(file), folder)
    return (folder / "sweep.csv").read_bytes()


def test_runs_are_the_list_times_the_grid_times_the_seeds(tmp_path):
    write(tmp_path / "mine.toml", "seed = 7\n[cell]\ndevices = 4\nbandwidth_mhz = 9\n")
    found = read_sweep(write(tmp_path / "all.toml", """
        scenario = "mine.toml"
        set.seeds = 2
        [[runs]]
        "training.algorithm" = "psl"
        [[runs]]
        training = {algorithm = "epsl", share = 0.3}
        [grid]
        "cell.bandwidth_mhz" = [2, 4]
        "cell.radius_m" = [100, 200, 300]
    """))
    assert len(found.tasks) == 2 * 6 * 2 == len({task.name for task in found.tasks})
    values = [(t.scenario.training.algorithm, t.scenario.cell.bandwidth_mhz, t.scenario.cell.radius_m, t.seed)
              for t in found.tasks]
    assert values == [(a, b, r, s) for a in ("psl", "epsl") for b in (2, 4) for r in (100, 200, 300) for s in (7, 8)]
    assert {t.scenario.cell.devices for t in found.tasks} == {4}
    assert {t.scenario.training.share for t in found.tasks if t.scenario.training.algorithm == "epsl"} == {0.3}


def test_a_run_keeps_its_name_when_the_sweep_is_extended(tmp_path, file):
    more = write(tmp_path / "more.toml", BANDS.replace("seeds = 2", "seeds = 3").replace("[2, 4]", "[1, 2, 4]"))
    few, many = ({task.name for task in read_sweep(path).tasks} for path in (file, more))
    assert few < many
    assert (len(few), len(many)) == (4, 9)


@pytest.mark.parametrize(("text", "sentence"), [
    ("", "a sweep varies something: give a .grid. of lists, or ..runs.."),
    ("[grid]", "a sweep varies something"),
    ('[grid]\n"cell.devices" = []', r"grid: cell.devices takes a list of one value or more, got \[\]"),
    ('[grid]\n"cell.devices" = 3', "grid: cell.devices takes a list of one value or more, got 3"),
    ('[grid]\n"cell.devcies" = [3]', "cell.devcies = 3: unknown setting cell.devcies; did you mean cell.devices?"),
    ('[grid]\n"cell.devices" = [3, 0]', r"cell.devices = 0: cell.devices \(number of devices\): .* greater than or equal to 1"),
    ('[grid]\n"cell.devices" = [3, 3]', r"two runs are equal: cell.devices = 3, seed 0 and cell.devices = 3, seed 0"),
    ('[grid]\n"cell.devices" = [3]\ncell.devices = [4]', "cell.devices is there twice"),
    ('[grid]\n"seeds" = [3]', r"seeds is one for all runs: it belongs into \[set\]"),
    ('[grid]\n"cell.devices" = [3]\n[[runs]]\n"cell.devices" = 4', "cell.devices is in the grid and in a run of the list"),
    ("[[runs]]\n[[runs]]\ncell.devices = 4", "runs: each is a table with one setting or more"),
    ("[runs]\ncell.devices = 4", r"runs is a list of tables, \[\[runs\]\], got"),
    ('[gird]\n"cell.devices" = [3]', "unknown key gird; did you mean grid?"),
    ('cell.devices = 3', r"unknown key cell; a sweep has scenario, set, grid, runs"),
    ('[set]\ncell.devices = 0\n[grid]\n"training.lr" = [0.1]', r"\[set\]: cell.devices \(number of devices\)"),
    ('scenario = "none.toml"\n[grid]\n"training.lr" = [0.1]', "cannot read the scenario .*none.toml: No such file"),
    ("[grid", "bad.toml is not TOML"),
    ('[grid]\n"training.algorithm" = ["psl", "splitfed-v1", "pls"]', "training.algorithm = .pls.: .* did you mean 'psl'?"),
    ('[grid]\n"training.algorithm" = ["psl", "split-learning"]', "has one device on the air at a time"),
    ('[grid]\n"data.dataset" = ["digits", "nowhere"]', 'data.dataset = "nowhere": '),
])
def test_what_cannot_be_gets_one_sentence_before_any_work(tmp_path, text, sentence, capsys):
    path = write(tmp_path / "bad.toml", text)
    assert main(["sweep", str(path), "--out", str(tmp_path / "out")]) == 2
    found = capsys.readouterr().err.splitlines()[-1]
    assert re.search(sentence, found), found
    assert not (tmp_path / "out").exists()


def test_a_sweep_that_is_not_there_gets_a_sentence(tmp_path, capsys):
    assert main(["sweep", str(tmp_path / "none.toml")]) == 2
    assert "cannot read the sweep" in capsys.readouterr().err


def test_the_example_of_the_help_is_a_sweep(tmp_path):
    text = "\n".join(line.strip() for line in EXAMPLE.splitlines()[1:])
    write(tmp_path / "mine.toml", "cell.devices = 3\n")
    assert len(read_sweep(write(tmp_path / "example.toml", text)).tasks) == 3 * 3


def test_the_sweeps_of_the_docs_are_sweeps(tmp_path):
    write(tmp_path / "mine.toml", "cell.devices = 3\n")
    text = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    found = [read_sweep(write(tmp_path / f"{number}.toml", block)) for number, block in enumerate(blocks)]
    assert [len(of.tasks) for of in found] == [3 * 2 * 3, 2 * 5, 6 * 4]


def test_a_row_is_that_of_the_scenario_on_its_own(tmp_path, file, plain):
    """With the data and the calibration of the scenario's first seed, whatever the seed."""
    (tmp_path / "table.csv").write_bytes(plain)
    table = pd.read_csv(tmp_path / "table.csv")
    task = read_sweep(file).tasks[2]
    alone = wfl.run(task.scenario, tmp_path / "alone")
    rows = table[table["cell.bandwidth_mhz"] == 4].reset_index(drop=True)
    assert list(rows["seed"]) == [0, 1]
    for name in ("policy", "time_s", "energy_j", "round_s", "final_accuracy", "status"):
        assert list(rows[name]) == list(alone[name])
    assert list(table.columns[:4]) == ["run", "cell.bandwidth_mhz", "policy", "seed"]


def test_a_sweep_of_two_processes_that_is_killed_goes_on_with_what_is_not_finished(tmp_path, file, plain):
    """By a signal that nobody can catch, when two runs are finished; and the folder says how it was made."""
    begun = subprocess.Popen([sys.executable, "-m", "wirelessfl", "sweep", str(file), "--out", str(tmp_path), "--workers=2"],
                             start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    names, until = [task.name for task in read_sweep(file).tasks], time.monotonic() + 120
    while (sum(places.finished(tmp_path / name) for name in names) < 2 or not (tmp_path / "sweep.csv").exists()) \
            and begun.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    assert set((tmp_path / "sweep.csv").read_bytes().splitlines()) <= set(plain.splitlines())
    finished = {name: written(tmp_path / name) for name in names if places.finished(tmp_path / name)}
    assert len(finished) >= 2
    sweep(read_sweep(file), tmp_path)
    assert (tmp_path / "sweep.csv").read_bytes() == plain
    for name, at in finished.items():
        assert written(tmp_path / name) == at
    made = json.loads((tmp_path / "sweep.json").read_text())
    assert made["ended"] == "finished"
    assert made["definition"]["grid"] == {"cell.bandwidth_mhz": [2, 4]}
    assert made["base"]["cell"]["devices"] == 3
    assert [(start["workers"], start["versions"]["numpy"]) for start in made["started"]] == [
        ("2 here", np.__version__), ("1 here", np.__version__)]
    assert set(made["runs"]) == {path.name for path in tmp_path.iterdir() if path.is_dir()}


@pytest.fixture
def eight(tmp_path, monkeypatch):
    """A sweep of eight runs that all fail at once, and the clock of the machine, which only a test moves [s]."""
    def fail(tasks, folder):
        yield from ((task, Outcome("", "no")) for task in tasks)

    module, now = import_module("wirelessfl.sweep"), [100.0]
    monkeypatch.setattr(module, "local", lambda workers: fail)
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return read_sweep(write(tmp_path / "eight.toml", BANDS.replace("[2, 4]", "[1, 2, 3, 4]"))), now


@pytest.mark.parametrize(("cost", "expected"), [(0.0, [1, 1, 1, 4, 4, 4, 7, 7]), (1.0, [1, 1, 1, 1, 1, 6, 6, 6])])
def test_the_table_is_written_while_runs_end_but_not_every_time(tmp_path, eight, monkeypatch, cost, expected):
    """A run ends every four seconds. The table is written every ten seconds at most, and one of a second every twenty."""
    (of, now), rows, module = eight, [], import_module("wirelessfl.sweep")
    plainly = module._write

    def slowly(*what):
        now[0] += cost
        return plainly(*what)

    def watch(task, outcome):
        rows.append(len(pd.read_csv(tmp_path / "out" / "sweep.csv")))
        now[0] += 4

    monkeypatch.setattr(module, "_write", slowly)
    assert len(sweep(of, tmp_path / "out", watch=watch)) == 8
    assert rows == expected
    assert len(pd.read_csv(tmp_path / "out" / "sweep.csv")) == 8


def test_a_table_that_cannot_be_written_does_not_stop_the_runs(tmp_path, eight):
    """As on a disk that is full for a while; where it still is at the end, the end says so."""
    (of, _), way = eight, tmp_path / "out" / "sweep.csv.partial"
    way.mkdir(parents=True)
    seen = []
    with pytest.raises(IsADirectoryError):
        sweep(of, tmp_path / "out", watch=lambda task, outcome: seen.append(task))
    assert len(seen) == 8
    sweep(of, tmp_path / "out", watch=lambda task, outcome: way.rmdir() if way.exists() else None)
    assert len(pd.read_csv(tmp_path / "out" / "sweep.csv")) == 8


def test_two_sweeps_at_once_do_not_share_a_folder(tmp_path, file, capsys):
    with ThreadPoolExecutor(1) as other, held(tmp_path):
        assert other.submit(main, ["sweep", str(file), "--out", str(tmp_path)]).result() == 2
    assert f"wirelessfl: {tmp_path} is in use by process {os.getpid()} of " in capsys.readouterr().err
    assert not (tmp_path / "sweep.json").exists()


def test_a_cluster_gives_the_same_table_though_a_worker_is_killed(tmp_path, file, plain):
    distributed = pytest.importorskip("distributed")
    killed = []

    def kill_another(task, outcome):
        """The worker of the run that is under way when the first one ends."""
        if not killed:
            busy = [who for who, what in client.processing().items() if what]
            killed.extend(client.run(os.getpid, workers=busy[:1]).values())
            os.kill(killed[0], signal.SIGKILL)

    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, \
            distributed.Client(cluster) as client:
        table = sweep(read_sweep(file), tmp_path, scheduler=cluster.scheduler_address, watch=kill_another)
    assert killed
    assert not table.duplicated(["run", "policy", "seed"]).any()
    assert (tmp_path / "sweep.csv").read_bytes() == plain


def test_a_cluster_that_could_not_do_the_runs_is_refused(tmp_path, file, capsys, monkeypatch):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        assert main(["sweep", str(file), "--out", str(tmp_path), "--scheduler", cluster.scheduler_address]) == 2
    assert "has 2 threads, and a run takes a process with one" in capsys.readouterr().err
    assert "a folder that all its machines share" in places.unfit(tmp_path / "elsewhere", {})
    versions = places.versions()
    assert places.unfit(tmp_path, versions) == ""
    assert f"it has numpy {np.__version__} in the place of 1.0" in places.unfit(tmp_path, versions | {"numpy": "1.0"})
    monkeypatch.setattr(places, "WAIT", 0.3)
    assert main(["sweep", str(file), "--out", str(tmp_path), "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in capsys.readouterr().err


def test_a_run_that_another_process_is_doing_is_waited_for(tmp_path, file):
    task = read_sweep(file).tasks[0]
    with ThreadPoolExecutor(1) as other, held(tmp_path / task.name):
        asked = other.submit(places.work, task, tmp_path)
        time.sleep(0.5)
        assert not asked.done()
        assert not (tmp_path / task.name / "manifest.json").exists()
        done = wfl.run(task.scenario, tmp_path / task.name, seeds=[task.seed])
        before = written(tmp_path / task.name)
    assert len(done) == 1
    assert asked.result().summary == (tmp_path / task.name / "summary.csv").read_text()
    assert written(tmp_path / task.name) == before


def test_a_run_that_fails_says_so_and_does_not_stop_the_others(tmp_path, capsys):
    path = write(tmp_path / "rates.toml", RATES)
    assert main(["sweep", str(path), "--out", str(tmp_path / "out"), "--workers=1"]) == 1
    printed = capsys.readouterr()
    assert "failed: training.lr = 1000000.0, seed 0: the pilot run diverged" in printed.err
    assert "finished: 2 of 3 runs\nfailed: 1 (column error)" in printed.out
    table = pd.read_csv(tmp_path / "out" / "sweep.csv")
    assert list(table["training.lr"]) == [0.05, 1e6, 0.1]
    assert list(table["error"].notna()) == [False, True, False]
    assert list(table["final_accuracy"].notna()) == [True, False, True]
    failed = tmp_path / "out" / table["run"][1]
    assert "Traceback" in (failed / "error.txt").read_text()


def test_data_that_vanish_fail_a_run_and_the_next_start_makes_it_good(tmp_path, monkeypatch):
    rng, there = np.random.default_rng(0), tmp_path / "noise.npz"
    x, y = rng.random((60, 8, 8), np.float32), np.arange(60) % 3
    np.savez(there, x_train=x, y_train=y, x_test=x, y_test=y)
    monkeypatch.setenv("WIRELESSFL_DATA", str(tmp_path))
    text = RATES.replace("1e6, 0.1", "0.1").replace("data = {train = 100, test = 50}", 'data.dataset = "noise"')
    found = read_sweep(write(tmp_path / "noise.toml", text))
    hidden = tmp_path / "hidden.npz"
    table = sweep(found, tmp_path / "out", watch=lambda task, outcome: there.rename(hidden) if there.exists() else None)
    assert list(table["error"] != "") == [False, True]
    assert "noise" in table["error"][1]
    hidden.rename(there)
    seen = []
    again = sweep(found, tmp_path / "out", watch=lambda task, outcome: seen.append(outcome))
    assert list(again["error"]) == ["", ""]
    assert not (tmp_path / "out" / again["run"][1] / "error.txt").exists()
    sweep(found, tmp_path / "straight")
    assert (tmp_path / "out" / "sweep.csv").read_bytes() == (tmp_path / "straight" / "sweep.csv").read_bytes()
